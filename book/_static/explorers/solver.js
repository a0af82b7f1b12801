/* Exact codes in the browser: a primal active-set method, as in wlsc/inference/_active_set.py but shorter.
 *
 * The code of a patch y minimises ½xᵀGx − bᵀx over the simplex, with G the inner products of the atoms and
 * b = (1 + 2λ)Aᵀy − λ diag(G). Codes sum to one, so that a point can be taken off the atoms and the patch, and a number off
 * b, without changing them: the mean of the atoms and the largest entry, which would take digits along. The atoms in use span a face. Its minimum has a closed form; a step towards it stops where
 * the simplex ends, and the atoms that reach zero leave. At a face's minimum the atom of steepest descent joins, until no
 * atom promises any.
 */
(function (explorers) {
  "use strict";

  /* Share of the longest atom's squared length that is added to the diagonal of G: every face then has one minimum, also
   * where atoms depend on each other, and the objective moves by at most half of it. */
  const RIDGE = 1e-11;

  /* Duality gap at which a code counts as exact, as a share of the scale of the problem. */
  const TOLERANCE = 1e-10;

  /* Weight that counts as zero when its atom is on the way out. */
  const ZERO = 1e-14;

  /** Inner products of all atoms less their mean, nAtoms · nAtoms; `atoms` holds one atom after the other. */
  explorers.gramMatrix = function (atoms, nAtoms) {
    const nFeatures = atoms.length / nAtoms;
    atoms = less(atoms, mean(atoms, nFeatures));
    const gram = new Float64Array(nAtoms * nAtoms);
    for (let i = 0; i < nAtoms; i++) {
      const row = atoms.subarray(i * nFeatures, (i + 1) * nFeatures);
      for (let j = 0; j <= i; j++) {
        gram[i * nAtoms + j] = gram[j * nAtoms + i] = dot(row, atoms.subarray(j * nFeatures, (j + 1) * nFeatures));
      }
    }
    return gram;
  };

  /** b = (1 + 2λ)Aᵀy − λ diag(G) with the atoms' mean taken off both, one entry per atom. */
  explorers.linearTerm = function (atoms, gram, patch, lam) {
    const nFeatures = patch.length;
    const point = mean(atoms, nFeatures);
    [atoms, patch] = [less(atoms, point), less(patch, point)];
    const linear = new Float64Array(atoms.length / nFeatures);
    for (let j = 0; j < linear.length; j++) {
      const product = dot(patch, atoms.subarray(j * nFeatures, (j + 1) * nFeatures));
      linear[j] = (1 + 2 * lam) * product - lam * gram[j * linear.length + j];
    }
    return linear;
  };

  /**
   * Minimise ½xᵀGx − bᵀx over x ≥ 0, Σx = 1.
   *
   * @param {Float64Array} gram - G, n · n, positive semidefinite.
   * @param {Float64Array} linear - b, n.
   * @param {Float64Array} [start] - A point of the simplex to begin at, such as the code before a small change.
   * @returns {{code: Float64Array, gap: number}} x, and its duality gap xᵀg − min g, which bounds what is left to gain.
   */
  explorers.solveSimplex = function (gram, linear, start) {
    const n = linear.length;
    const base = linear[smallest(n, (j) => gram[j * n + j] / 2 - linear[j])];
    linear = linear.map((value) => value - base);
    const unit = largest(n, (j) => gram[j * n + j]) || 1;
    const tolerance = TOLERANCE * (unit + largest(n, (j) => Math.abs(linear[j])));
    const face = new Face(gram, linear, unit);
    if (start) {
      start.forEach((weight, atom) => weight > 0 && face.join(atom, weight));
    } else {
      face.join(
        smallest(n, (j) => gram[j * n + j] / 2 - linear[j]),
        1,
      );
    }
    let lowest = Infinity;
    for (;;) {
      face.descend();
      const gradient = face.gradient();
      const steepest = smallest(n, (j) => gradient[j]);
      const gap = face.mean(gradient) - gradient[steepest];
      const objective = (face.mean(gradient) - face.mean(linear)) / 2;
      /* Without descent, or with an atom that has joined already, rounding has the last word. */
      if (gap <= tolerance || objective >= lowest || face.atoms.includes(steepest)) {
        return { code: face.code(), gap: Math.max(gap, 0) };
      }
      lowest = objective;
      face.join(steepest, 0);
    }
  };

  /** Atoms in use with their weights, and the Cholesky factor of G + unit · 11ᵀ on them (Σx = 1 makes the two alike). */
  class Face {
    constructor(gram, linear, unit) {
      Object.assign(this, { gram, linear, unit, atoms: [], weights: [], rows: [] });
    }

    join(atom, weight) {
      this.atoms.push(atom);
      this.weights.push(weight);
      this.factorize(this.atoms.length - 1);
    }

    /** Bring the factor up to date from row `first` on. */
    factorize(first) {
      const { gram, linear, atoms, rows, unit } = this;
      const n = linear.length;
      rows.length = first;
      for (let i = first; i < atoms.length; i++) {
        const row = new Float64Array(i + 1);
        for (let j = 0; j <= i; j++) {
          let rest = gram[atoms[i] * n + atoms[j]] + unit + (i === j ? RIDGE * unit : 0);
          for (let k = 0; k < j; k++) {
            rest -= row[k] * (j === i ? row : rows[j])[k];
          }
          row[j] = j < i ? rest / rows[j][j] : Math.sqrt(Math.max(rest, RIDGE * unit));
        }
        rows.push(row);
      }
    }

    /** Solve with the factored matrix. */
    solve(right) {
      const { rows } = this;
      const solution = Float64Array.from(right);
      for (let i = 0; i < rows.length; i++) {
        for (let k = 0; k < i; k++) {
          solution[i] -= rows[i][k] * solution[k];
        }
        solution[i] /= rows[i][i];
      }
      for (let i = rows.length - 1; i >= 0; i--) {
        solution[i] /= rows[i][i];
        for (let k = 0; k < i; k++) {
          solution[k] -= rows[i][k] * solution[i];
        }
      }
      return solution;
    }

    /** Minimum over the face's affine hull, where weights sum to one. */
    minimum() {
      if (this.atoms.length === 1) {
        return [1];
      }
      const free = this.solve(this.atoms.map((atom) => this.linear[atom]));
      const along = this.solve(this.atoms.map(() => 1));
      const multiplier = (1 - sum(free)) / sum(along);
      return free.map((value, i) => value + multiplier * along[i]);
    }

    /** Walk to the face's minimum; whenever the simplex ends on the way, drop what reached zero and walk on. */
    descend() {
      for (;;) {
        const target = this.minimum();
        if (target.every((weight) => weight >= 0)) {
          this.weights = Array.from(target);
          return;
        }
        const step = Math.min(...this.weights.map((weight, i) => (target[i] < 0 ? weight / (weight - target[i]) : 1)));
        this.weights = this.weights.map((weight, i) => weight + step * (target[i] - weight));
        const out = this.weights.map((weight, i) => target[i] < 0 && weight <= ZERO);
        this.atoms = this.atoms.filter((_, i) => !out[i]);
        this.weights = this.weights.filter((_, i) => !out[i]);
        this.factorize(out.indexOf(true));
      }
    }

    /** Gx − b over all atoms. */
    gradient() {
      const n = this.linear.length;
      const gradient = this.linear.map((value) => -value);
      this.atoms.forEach((atom, i) => {
        const row = this.gram.subarray(atom * n, (atom + 1) * n);
        for (let j = 0; j < n; j++) {
          gradient[j] += this.weights[i] * row[j];
        }
      });
      return gradient;
    }

    mean(values) {
      return this.atoms.reduce((total, atom, i) => total + this.weights[i] * values[atom], 0);
    }

    code() {
      const code = new Float64Array(this.linear.length);
      const total = sum(this.weights);
      if (!(Math.abs(total - 1) < 1e-6)) {
        throw new RangeError(`weights must sum to one, got ${total}: the numbers of this problem are too far apart`);
      }
      this.atoms.forEach((atom, i) => {
        code[atom] = this.weights[i] / total;
      });
      return code;
    }
  }

  /** Mean of rows that lie one after the other. */
  function mean(rows, nFeatures) {
    const point = new Float64Array(nFeatures);
    rows.forEach((value, i) => (point[i % nFeatures] += value));
    return point.map((total) => (total * nFeatures) / rows.length);
  }

  /** Rows that lie one after the other, less a point. */
  function less(rows, point) {
    return Float64Array.from(rows, (value, i) => value - point[i % point.length]);
  }

  function dot(a, b) {
    let total = 0;
    for (let i = 0; i < a.length; i++) {
      total += a[i] * b[i];
    }
    return total;
  }

  function sum(values) {
    return values.reduce((total, value) => total + value, 0);
  }

  function largest(n, value) {
    let best = -Infinity;
    for (let j = 0; j < n; j++) {
      best = Math.max(best, value(j));
    }
    return best;
  }

  function smallest(n, value) {
    let best = 0;
    for (let j = 1; j < n; j++) {
      if (value(j) < value(best)) {
        best = j;
      }
    }
    return best;
  }
})((window.wlscExplorers = window.wlscExplorers || {}));
