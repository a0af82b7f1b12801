/* Draw a digit: its exact code over a learned dictionary, as one draws. */
(function (explorers) {
  "use strict";

  /* λ runs over powers of ten between these exponents. */
  const EXPONENTS = [-3, 2];

  /* Active atoms that are listed; a small λ may use dozens. */
  const N_SHOWN = 8;

  /* Classes that are named, and the least share of the weight for which one is. */
  const N_NAMED = 3;
  const LEAST = 0.05;

  explorers.draw = class {
    constructor({ dictionary, examples, labels, lam, unit_norm: unitNorm, shares, classes }) {
      this.atoms = dictionary.flat();
      this.nAtoms = dictionary.nRows;
      this.rows = dictionary.rows();
      this.white = this.atoms.reduce((high, value) => Math.max(high, value), 0);
      this.side = Math.round(Math.sqrt(dictionary.nColumns));
      this.ink = new Float64Array(dictionary.nColumns);
      this.lam = lam;
      this.unitNorm = unitNorm;
      this.examples = examples;
      this.shares = shares?.rows();
      this.classes = classes;
      this.pen = [this.side / 2, this.side / 2];
      this.isDown = false;
      this.build(labels);
      this.clear();
    }

    build(labels) {
      const { element, labelled, panel, picture } = explorers;
      this.canvas = element("canvas", {
        class: "wlsc-picture",
        tabindex: 0,
        role: "application",
        "aria-label": `Drawing area of ${this.side} by ${this.side} pixels. Arrow keys move the pen, space lowers and lifts it.`,
        onpointerdown: (event) => event.button === 0 && this.press(event),
        onpointermove: (event) => event.buttons & 1 && this.drag(event),
        onkeydown: (event) => this.key(event),
      });
      this.cursor = element("span", { class: "wlsc-pen", "aria-hidden": "true" });
      this.reconstruction = picture("Reconstruction from the active atoms");
      this.list = new explorers.AtomList(N_SHOWN);
      this.numbers = new explorers.Numbers();
      const range = { min: EXPONENTS[0], max: EXPONENTS[1], step: 0.05, value: Math.log10(this.lam) };
      [this.slider, this.output] = explorers.slider(range, (exponent) => this.setPenalty(10 ** exponent));
      this.setPenalty(this.lam);
      const choices = labels.map((label) => [String(label), `Load an example of ${label}`]);
      this.choices = new explorers.Choices("or load an example", choices, (index) => this.loadExample(index));
      this.seen = element("p", { class: "wlsc-seen" });
      this.content = [
        element(
          "div",
          { class: "wlsc-columns" },
          panel(
            "Draw here",
            "",
            element("div", { class: "wlsc-drawing" }, this.canvas, this.cursor),
            element("button", { type: "button", onclick: () => this.clear() }, "Clear"),
          ),
          panel("Reconstruction", "", this.reconstruction),
          panel("Active atoms", "wlsc-wide", ...(this.shares ? [this.seen] : []), this.list.list),
        ),
        this.choices.content,
        labelled("penalty λ", this.slider, this.output),
        ...this.numbers.content,
      ];
    }

    setPenalty(lam) {
      this.lam = lam;
      explorers.tell(this.slider, this.output, explorers.digits(lam));
      this.changed();
    }

    clear() {
      this.load(new Float64Array(this.ink.length));
    }

    loadExample(index) {
      this.load(this.examples.row(index));
      this.choices.press(index);
    }

    load(pixels) {
      this.ink.set(pixels);
      this.choices.press();
      this.code = undefined; // another digit: what was active before is no better than any other start
      this.changed();
    }

    press(event) {
      this.canvas.setPointerCapture(event.pointerId);
      this.canvas.focus({ preventScroll: true });
      event.preventDefault();
      this.pen = this.under(event);
      this.stroke(this.pen);
    }

    drag(event) {
      this.stroke(this.under(event));
    }

    /** Place of a pointer in pixels of the digit. */
    under(event) {
      return explorers.place(event, this.canvas).map((share) => share * this.side);
    }

    key(event) {
      const step = explorers.arrow(event.key);
      if (event.key === " ") {
        this.isDown = !this.isDown;
        this.stroke(this.pen, this.isDown);
      } else if (step) {
        const inside = (value) => Math.min(Math.max(value, 0.5), this.side - 0.5);
        const target = this.pen.map((value, axis) => inside(Math.floor(value) + 0.5 + step[axis]));
        this.stroke(target, this.isDown);
      } else {
        return;
      }
      event.preventDefault();
    }

    /** Move the pen in a straight line; with ink if it is down. */
    stroke(target, withInk = true) {
      const distance = Math.hypot(target[0] - this.pen[0], target[1] - this.pen[1]);
      const nSteps = Math.max(1, Math.ceil(4 * distance));
      for (let step = 1; withInk && step <= nSteps; step++) {
        this.blot(this.pen.map((from, axis) => from + ((target[axis] - from) * step) / nSteps));
      }
      this.pen = target;
      this.changed();
    }

    /** A dot with a soft edge, about as thick as the strokes of the digits. */
    blot([x, y]) {
      this.choices.press();
      const core = 0.15 + this.side / 50;
      this.ink.forEach((value, pixel) => {
        const distance = Math.hypot((pixel % this.side) + 0.5 - x, Math.floor(pixel / this.side) + 0.5 - y);
        this.ink[pixel] = Math.max(value, Math.min(1, (core + 0.9 - distance) / 0.9));
      });
    }

    /** Many strokes may come between two pictures of the screen: the code is computed once for each picture. */
    changed() {
      this.isWaiting = this.isWaiting || Boolean(requestAnimationFrame(() => this.update()));
    }

    update() {
      this.isWaiting = false;
      this.solve();
      explorers.paint(this.canvas, this.ink, 0, 1);
      this.cursor.style.left = `${(100 * this.pen[0]) / this.side}%`;
      this.cursor.style.top = `${(100 * this.pen[1]) / this.side}%`;
      this.cursor.classList.toggle("wlsc-down", this.isDown);
      this.show();
    }

    solve() {
      const length = Math.hypot(...this.ink);
      this.isBlank = length === 0;
      this.patch = this.ink.map((value) => (this.unitNorm && !this.isBlank ? value / length : value));
      if (!this.isBlank) {
        this.gram ??= explorers.gramMatrix(this.atoms, this.nAtoms); // when it is first needed: it may take a moment
        const linear = explorers.linearTerm(this.atoms, this.gram, this.patch, this.lam);
        this.code = explorers.solveSimplex(this.gram, linear, this.code).code;
      }
    }

    show() {
      const active = explorers.activeAtoms(this.isBlank ? [] : this.code, this.rows);
      const brightest = this.unitNorm ? this.patch.reduce((high, value) => Math.max(high, value), 0) : 1;
      explorers.paint(this.reconstruction, explorers.reconstruct(this.patch, active), 0, brightest);
      this.list.show(active, this.white);
      const seen = this.shares && !this.isBlank ? this.describeClasses(active) : "";
      this.seen.textContent = seen;
      this.numbers.say(
        this.isBlank ? "Nothing is drawn yet." : `${seen} ${explorers.describe(this.patch, active, this.nAtoms)}`.trim(),
      );
    }

    /** Whose atoms these are: each atom passes its weight on to the classes of the samples that use it. */
    describeClasses(active) {
      const votes = this.classes.map((name, index) => [
        name,
        active.reduce((total, [atom, weight]) => total + weight * this.shares[atom][index], 0),
      ]);
      const named = votes.sort((a, b) => b[1] - a[1]).filter(([, vote], rank) => rank === 0 || vote >= LEAST);
      const told = named.slice(0, N_NAMED).map(([name, vote]) => `${name} (${(100 * vote).toFixed(0)} %)`);
      return `It looks like ${told.join(", then ")}.`;
    }
  };
})((window.wlscExplorers = window.wlscExplorers || {}));
