/* The map of codes: points of an embedding, and under the pointer the digit with its atoms. */
(function (explorers) {
  "use strict";

  /* Pixels of the map per side, cells of the grid that finds points, and half the side of a point. */
  const SIZE = 720;
  const N_CELLS = 48;
  const DOT = 1.6;

  explorers.map = class {
    constructor({ points, labels, images, dictionary, atoms, weights, colours, names }) {
      Object.assign(this, { images, dictionary, atoms, weights, colours, names });
      this.points = points.rows().map(([x, y]) => [DOT + (SIZE - 2 * DOT) * x, DOT + (SIZE - 2 * DOT) * (1 - y)]);
      this.labels = labels.stored;
      this.inkWhite = maximum(images);
      this.atomWhite = maximum(dictionary);
      this.fillGrid();
      this.build();
      this.filter("");
    }

    /** Indices of the points in each cell of a grid, so that a pointer looks at few of them. */
    fillGrid() {
      this.cells = Array.from({ length: N_CELLS * N_CELLS }, () => []);
      this.points.forEach((point, index) => {
        const [column, row] = point.map(cellOf);
        this.cells[row * N_CELLS + column].push(index);
      });
    }

    build() {
      const { element, labelled, picture } = explorers;
      this.ground = element("canvas", { width: SIZE, height: SIZE, "aria-hidden": "true" });
      this.marker = element("span", { class: "wlsc-marker", "aria-hidden": "true" });
      this.plane = element(
        "div",
        {
          class: "wlsc-layers",
          tabindex: 0,
          role: "application",
          "aria-label": `Map of ${this.points.length} digits. Arrow keys go to the nearest digit in their direction.`,
          onpointerdown: (event) => this.point(event),
          onpointermove: (event) => this.point(event),
          onkeydown: (event) => this.key(event),
        },
        this.ground,
        this.marker,
      );
      this.image = picture("The chosen digit");
      this.list = new explorers.AtomList(this.atoms.nColumns);
      this.numbers = new explorers.Numbers();
      const classes = [["", "all"], ...this.names.map((name, index) => [index, name])];
      const select = explorers.select(classes, () => this.filter(select.value));
      this.content = [
        element(
          "div",
          { class: "wlsc-columns" },
          element("div", { class: "wlsc-panel wlsc-plane" }, this.plane, this.legend()),
          explorers.panel(
            "Digit and atoms",
            "wlsc-wide",
            element("div", { class: "wlsc-thumbnail" }, this.image),
            this.list.list,
          ),
        ),
        labelled("show", select),
        ...this.numbers.content,
      ];
    }

    legend() {
      const { element } = explorers;
      const entries = this.names.map((name, index) =>
        element("li", {}, element("span", { class: "wlsc-swatch", style: `background: ${this.colours[index]}` }), name),
      );
      return element("ul", { class: "wlsc-legend" }, ...entries);
    }

    /** Show one class, or all for "". */
    filter(shown) {
      this.shown = shown === "" ? null : Number(shown);
      this.draw();
      const first = this.points.findIndex((_, index) => this.isShown(index));
      this.choose(this.chosen !== undefined && this.isShown(this.chosen) ? this.chosen : first);
    }

    isShown(index) {
      return this.shown === null || this.labels[index] === this.shown;
    }

    draw() {
      const context = this.ground.getContext("2d");
      context.fillStyle = "#fff";
      context.fillRect(0, 0, SIZE, SIZE);
      this.points.forEach(([x, y], index) => {
        context.fillStyle = this.isShown(index) ? this.colours[this.labels[index]] : "#e4e4e4";
        context.fillRect(x - DOT, y - DOT, 2 * DOT, 2 * DOT);
      });
    }

    point(event) {
      const place = explorers.place(event, this.plane).map((share) => SIZE * share);
      const found = this.nearest(place);
      if (found !== undefined) {
        this.choose(found);
      }
    }

    /** The point nearest to a place: of the cells around it, ring after ring, until no ring can hold a nearer one. */
    nearest([x, y]) {
      const [column, row] = [cellOf(x), cellOf(y)];
      let best;
      let shortest = Infinity;
      for (let ring = 0; ring < N_CELLS && shortest > ((ring - 1) * SIZE) / N_CELLS; ring++) {
        for (const index of this.ring(column, row, ring)) {
          const distance = Math.hypot(this.points[index][0] - x, this.points[index][1] - y);
          if (distance < shortest && this.isShown(index)) {
            [best, shortest] = [index, distance];
          }
        }
      }
      return best;
    }

    /** Points in the cells at a distance of `ring` cells. */
    *ring(column, row, ring) {
      for (let r = Math.max(row - ring, 0); r <= Math.min(row + ring, N_CELLS - 1); r++) {
        const isEdge = Math.abs(r - row) === ring;
        for (let c = column - ring; c <= column + ring; c += isEdge || ring === 0 ? 1 : 2 * ring) {
          if (c >= 0 && c < N_CELLS) {
            yield* this.cells[r * N_CELLS + c];
          }
        }
      }
    }

    /** Go to the nearest point within 45° of an arrow's direction. */
    key(event) {
      const step = explorers.arrow(event.key);
      if (!step) {
        return;
      }
      event.preventDefault();
      const [x, y] = this.points[this.chosen];
      let best = this.chosen;
      let shortest = Infinity;
      this.points.forEach((point, index) => {
        const [right, down] = [point[0] - x, point[1] - y];
        const along = right * step[0] + down * step[1];
        const aside = Math.abs(right * step[1]) + Math.abs(down * step[0]);
        const distance = Math.hypot(along, aside);
        if (along > 0 && along >= aside && distance < shortest && this.isShown(index)) {
          [best, shortest] = [index, distance];
        }
      });
      this.choose(best);
    }

    choose(index) {
      this.chosen = index;
      const [x, y] = this.points[index];
      this.marker.style.left = `${(100 * x) / SIZE}%`;
      this.marker.style.top = `${(100 * y) / SIZE}%`;
      explorers.paint(this.image, this.images.row(index), 0, this.inkWhite);
      const numbers = this.atoms.row(index);
      const active = Array.from(this.weights.row(index)).flatMap((weight, rank) =>
        weight > 0 ? [[numbers[rank], weight, this.dictionary.row(numbers[rank])]] : [],
      );
      this.list.show(active, this.atomWhite);
      const listed = active.reduce((total, [, weight]) => total + weight, 0);
      this.numbers.say(
        `Digit ${this.names[this.labels[index]]}, sample ${index}: atoms with ${(100 * listed).toFixed(0)} % of the weight ` +
          `are shown, the heaviest, atom ${numbers[0]}, with ${active[0][1].toFixed(2)}.`,
      );
    }
  };

  function cellOf(place) {
    return Math.min(Math.max(Math.floor((place / SIZE) * N_CELLS), 0), N_CELLS - 1);
  }

  function maximum(table) {
    return table.offset + table.step * table.stored.reduce((high, value) => Math.max(high, value), 0);
  }
})((window.wlscExplorers = window.wlscExplorers || {}));
