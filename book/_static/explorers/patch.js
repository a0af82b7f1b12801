/* One patch of an image at one λ after another: the dictionary that was learned there, and the exact code over it. */
(function (explorers) {
  "use strict";

  /* Active atoms that are listed; a small λ may use dozens. */
  const N_SHOWN = 8;

  explorers.patch = class {
    constructor({ patches, dictionaries, lams }) {
      this.patches = patches.rows();
      this.trained = dictionaries.map((dictionary) => ({ rows: dictionary.rows(), flat: dictionary.flat() }));
      this.lams = lams;
      this.build();
      [this.patch] = this.patches;
      this.choices.press(0);
      this.choose(Math.floor(lams.length / 3)); // some atoms share a patch
    }

    build() {
      const { element, labelled, panel, picture } = explorers;
      this.original = picture("The patch");
      this.reconstruction = picture("Reconstruction from the active atoms");
      this.tiles = this.trained[0].rows.map(() => element("canvas", { class: "wlsc-picture" }));
      const columns = Math.ceil(Math.sqrt(this.tiles.length));
      this.mosaic = element(
        "div",
        { class: "wlsc-mosaic", style: `--columns: ${columns}`, role: "img", "aria-label": "The dictionary" },
        ...this.tiles,
      );
      this.list = new explorers.AtomList(N_SHOWN);
      this.numbers = new explorers.Numbers();
      [this.slider, this.output] = explorers.slider({ max: this.lams.length - 1 }, (index) => this.choose(index));
      const choices = this.patches.map((_, index) => [String(index + 1), `Choose patch ${index + 1}`]);
      this.choices = new explorers.Choices("patch", choices, (index) => this.take(index));
      this.content = [
        element(
          "div",
          { class: "wlsc-columns" },
          element(
            "div",
            { class: "wlsc-pictures" },
            portrait("Patch", this.original),
            portrait("Reconstruction", this.reconstruction),
          ),
          panel("Dictionary, atoms in use framed", "wlsc-plane", this.mosaic),
          panel("Heaviest atoms", "wlsc-wide", this.list.list),
        ),
        this.choices.content,
        labelled("penalty λ, from hull to k-means", this.slider, this.output),
        ...this.numbers.content,
      ];
    }

    /** Show the dictionary that was learned at one λ, every atom on its own grey scale. */
    choose(index) {
      this.lam = this.lams[index];
      this.dictionary = this.trained[index];
      this.gram = explorers.gramMatrix(this.dictionary.flat, this.tiles.length);
      this.slider.value = index;
      explorers.tell(this.slider, this.output, explorers.digits(this.lam));
      this.dictionary.rows.forEach((atom, i) => paintSigned(this.tiles[i], atom));
      this.show();
    }

    take(index) {
      this.patch = this.patches[index];
      this.choices.press(index);
      this.show();
    }

    show() {
      const { rows, flat } = this.dictionary;
      const linear = explorers.linearTerm(flat, this.gram, this.patch, this.lam);
      this.code = explorers.solveSimplex(this.gram, linear).code;
      const active = explorers.activeAtoms(this.code, rows);
      this.tiles.forEach((tile, atom) => tile.classList.toggle("wlsc-used", this.code[atom] > 0));
      this.mosaic.setAttribute("aria-label", `The ${rows.length} atoms at this λ, of which ${active.length} are framed`);
      const high = largest(this.patch);
      paintSigned(this.original, this.patch, high);
      paintSigned(this.reconstruction, explorers.reconstruct(this.patch, active), high);
      const relative = active.map(([number, weight, atom]) => [number, weight, atom.map((v) => v / largest(atom))]);
      this.list.show(relative, 1, -1);
      this.numbers.say(`λ = ${explorers.digits(this.lam)}: ${explorers.describe(this.patch, active, rows.length)}`);
    }
  };

  function portrait(title, canvas) {
    const { element } = explorers;
    return element("div", { class: "wlsc-portrait" }, element("p", { class: "wlsc-heading" }, title), canvas);
  }

  /** Pixels on a scale on which zero is grey. */
  function paintSigned(canvas, pixels, high = largest(pixels)) {
    explorers.paint(canvas, pixels, -high, high);
  }

  function largest(pixels) {
    return pixels.reduce((high, value) => Math.max(high, Math.abs(value)), 0) || 1;
  }
})((window.wlscExplorers = window.wlscExplorers || {}));
