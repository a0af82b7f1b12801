/* The penalty: atoms and codes of points in the plane, from the convex hull (small λ) to k-means (large λ). */
(function (explorers) {
  "use strict";

  /* Units of the picture per side, and the margin around the points. */
  const SIZE = 400;
  const MARGIN = 16;

  /* Atoms for which the list has room: three corners hold a point of the plane, and rounding may add one. */
  const N_ROWS = 4;

  /* Share of the picture's side that an arrow key moves the point. */
  const STEP = 0.02;

  explorers.penalty = class {
    constructor({ samples, dictionaries, lams, colours }) {
      this.samples = samples.rows();
      this.trained = dictionaries.map((dictionary) => ({ rows: dictionary.rows(), flat: dictionary.flat() }));
      this.lams = lams;
      this.patch = this.samples[0];
      this.frame([...this.samples, ...this.trained.flatMap(({ rows }) => rows)]);
      this.build(colours);
      this.choose(Math.floor(lams.length / 2));
    }

    /** Fit all points into the picture, with one scale for both axes. */
    frame(points) {
      const axes = [0, 1].map((axis) => points.map((point) => point[axis]));
      this.low = axes.map((values) => Math.min(...values));
      this.high = axes.map((values) => Math.max(...values));
      const width = Math.max(this.high[0] - this.low[0], this.high[1] - this.low[1]) || 1;
      this.scale = (SIZE - 2 * MARGIN) / width;
      this.middle = [0, 1].map((axis) => (this.low[axis] + this.high[axis]) / 2);
    }

    /** From the data's coordinates to the picture's, whose second axis points down. */
    toPicture([x, y]) {
      return [SIZE / 2 + this.scale * (x - this.middle[0]), SIZE / 2 - this.scale * (y - this.middle[1])];
    }

    build(colours) {
      const { element, labelled, panel, svg } = explorers;
      this.edges = svg("g", { stroke: "#8a8a8a" });
      this.own = svg("g", { stroke: colours.own });
      this.atoms = svg("g", { fill: colours.atoms, stroke: "#fff" });
      this.point = svg("circle", { r: 7, fill: "none", stroke: colours.own, "stroke-width": 4 });
      const dots = this.samples.map((sample) => {
        const [cx, cy] = this.toPicture(sample);
        return svg("circle", { cx, cy, r: 2.5 });
      });
      this.picture = svg(
        "svg",
        {
          class: "wlsc-plot",
          viewBox: `0 0 ${SIZE} ${SIZE}`,
          tabindex: 0,
          role: "application",
          "aria-label": "Plane of samples and atoms with one marked point. Arrow keys move the point.",
          onpointerdown: (event) => event.button === 0 && this.press(event),
          onpointermove: (event) => event.buttons & 1 && this.moveUnder(event),
          onkeydown: (event) => this.key(event),
        },
        this.edges,
        svg("g", { fill: colours.samples }, ...dots),
        this.own,
        this.atoms,
        this.point,
      );
      this.list = new explorers.AtomList(Infinity, N_ROWS);
      this.numbers = new explorers.Numbers();
      [this.slider, this.output] = explorers.slider({ max: this.lams.length - 1 }, (index) => this.choose(index));
      this.content = [
        element(
          "div",
          { class: "wlsc-columns" },
          element("div", { class: "wlsc-panel wlsc-plane" }, this.picture),
          panel("Code of the marked point", "wlsc-wide", this.list.list),
        ),
        labelled("penalty λ, from hull to k-means", this.slider, this.output),
        ...this.numbers.content,
      ];
    }

    /** Show the dictionary that was learned at one λ. */
    choose(index) {
      this.lam = this.lams[index];
      this.dictionary = this.trained[index];
      this.gram = explorers.gramMatrix(this.dictionary.flat, this.dictionary.rows.length);
      this.slider.value = index;
      explorers.tell(this.slider, this.output, explorers.digits(this.lam));
      this.codes = this.samples.map((sample) => this.codeOf(sample));
      this.edges.replaceChildren(...this.samples.flatMap((sample, i) => this.edgesOf(sample, this.codes[i])));
      this.atoms.replaceChildren(...this.dictionary.rows.map((atom) => this.triangle(atom)));
      this.showPoint();
    }

    codeOf(patch) {
      const linear = explorers.linearTerm(this.dictionary.flat, this.gram, patch, this.lam);
      return explorers.solveSimplex(this.gram, linear).code;
    }

    /** A line to each active atom, as wide as its weight. */
    edgesOf(patch, code) {
      const [x1, y1] = this.toPicture(patch);
      return Array.from(code).flatMap((weight, atom) => {
        const [x2, y2] = this.toPicture(this.dictionary.rows[atom]);
        return weight > 0 ? [explorers.svg("line", { x1, y1, x2, y2, "stroke-width": 2.5 * weight })] : [];
      });
    }

    triangle(atom) {
      const [x, y] = this.toPicture(atom);
      return explorers.svg("path", { d: `M${x} ${y - 8}l7 13h-14z` });
    }

    press(event) {
      this.picture.setPointerCapture(event.pointerId);
      this.picture.focus({ preventScroll: true });
      event.preventDefault();
      this.moveUnder(event);
    }

    moveUnder(event) {
      const [right, down] = explorers.place(event, this.picture);
      this.move([
        this.middle[0] + (SIZE * (right - 0.5)) / this.scale,
        this.middle[1] - (SIZE * (down - 0.5)) / this.scale,
      ]);
    }

    key(event) {
      const step = explorers.arrow(event.key);
      if (step) {
        event.preventDefault();
        const length = (STEP * SIZE) / this.scale;
        this.move([this.patch[0] + length * step[0], this.patch[1] - length * step[1]]);
      }
    }

    move(patch) {
      this.patch = patch.map((value, axis) => Math.min(Math.max(value, this.low[axis]), this.high[axis]));
      this.showPoint();
    }

    showPoint() {
      const [cx, cy] = this.toPicture(this.patch);
      this.point.setAttribute("cx", cx);
      this.point.setAttribute("cy", cy);
      this.code = this.codeOf(this.patch);
      this.own.replaceChildren(...this.edgesOf(this.patch, this.code));
      const active = Array.from(this.code).flatMap((weight, atom) => (weight > 0 ? [[atom, weight, null]] : []));
      this.list.show(active);
      const mean = [0, 1].map((axis) =>
        active.reduce((sum, [atom, weight]) => sum + weight * this.dictionary.rows[atom][axis], 0),
      );
      const spread = active.reduce(
        (sum, [atom, weight]) => sum + weight * squaredDistance(this.dictionary.rows[atom], mean),
        0,
      );
      const heaviest = active.reduce((best, entry) => (entry[1] > best[1] ? entry : best));
      this.numbers.say(
        `λ = ${explorers.digits(this.lam)}: ${active.length} of ${this.code.length} atoms active, the heaviest with weight ` +
          `${heaviest[1].toFixed(3)}; squared error ${squaredDistance(this.patch, mean).toFixed(4)}, ` +
          `spread of the atoms in use ${spread.toFixed(4)}.`,
      );
    }
  };

  function squaredDistance(a, b) {
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2;
  }
})((window.wlscExplorers = window.wlscExplorers || {}));
