/* The sheet of atoms: under the pointer an atom, the filters around it, and the stimuli that tie them to it. */
(function (explorers) {
  "use strict";

  /* Cells on each side of the chosen one that are shown large. */
  const REACH = 1;

  explorers.sheet = class {
    constructor({ shape, filters, cells, stimuli, ties, orientations }) {
      [this.nRows, this.nColumns] = shape;
      Object.assign(this, { filters, stimuli, ties });
      this.units = cells.stored; // of each cell; as many as there are units where it is empty
      this.orientations = orientations.flat();
      this.side = Math.round(Math.sqrt(filters.nColumns));
      this.build();
      this.choose(Math.floor(this.nRows / 2), Math.floor(this.nColumns / 2));
    }

    build() {
      const { element, picture } = explorers;
      this.ground = element("canvas", { class: "wlsc-picture", "aria-hidden": "true" });
      this.marker = element("span", { class: "wlsc-marker", "aria-hidden": "true" });
      this.plane = element(
        "div",
        {
          class: "wlsc-layers",
          tabindex: 0,
          role: "application",
          "aria-label": `Sheet of ${this.nRows} times ${this.nColumns} atoms. Arrow keys go from cell to cell.`,
          onpointerdown: (event) => this.point(event),
          onpointermove: (event) => this.point(event),
          onkeydown: (event) => this.key(event),
        },
        this.ground,
        this.marker,
      );
      this.paintCells(this.ground, 0, 0, this.nRows, this.nColumns);
      this.around = picture("The filters around the chosen atom");
      this.shared = Array.from({ length: this.ties.nColumns }, (_, rank) => picture(`Stimulus ${rank + 1} that ties them`));
      this.numbers = new explorers.Numbers();
      this.content = [
        element(
          "div",
          { class: "wlsc-columns" },
          element("div", { class: "wlsc-panel wlsc-plane" }, this.plane),
          explorers.panel("Filters around", "", this.around),
          explorers.panel("Stimuli that tie them", "", element("div", { class: "wlsc-stimuli" }, ...this.shared)),
        ),
        ...this.numbers.content,
      ];
    }

    /** The unit of a cell; undefined where there is none. */
    unitAt(row, column) {
      const inside = row >= 0 && row < this.nRows && column >= 0 && column < this.nColumns;
      const unit = inside ? this.units[row * this.nColumns + column] : this.filters.nRows;
      return unit < this.filters.nRows ? unit : undefined;
    }

    /** Draw cells as small pictures, each on its own grey scale, with a line of white between them. */
    paintCells(canvas, top, left, nRows, nColumns) {
      const step = this.side + 1;
      [canvas.width, canvas.height] = [nColumns * step - 1, nRows * step - 1];
      const context = canvas.getContext("2d");
      context.fillStyle = "#fff";
      context.fillRect(0, 0, canvas.width, canvas.height);
      const tile = explorers.element("canvas");
      for (let row = 0; row < nRows; row++) {
        for (let column = 0; column < nColumns; column++) {
          const unit = this.unitAt(top + row, left + column);
          if (unit !== undefined) {
            explorers.paint(tile, this.filters.row(unit), -1, 1);
            context.drawImage(tile, column * step, row * step);
          }
        }
      }
    }

    point(event) {
      const [x, y] = explorers.place(event, this.plane);
      const cell = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
      this.choose(cell(y, this.nRows), cell(x, this.nColumns));
    }

    key(event) {
      const step = explorers.arrow(event.key);
      if (step) {
        event.preventDefault();
        this.choose(this.row + step[1], this.column + step[0]);
      }
    }

    choose(row, column) {
      const unit = this.unitAt(row, column);
      if (unit === undefined) {
        return;
      }
      Object.assign(this, { row, column, chosen: unit });
      this.marker.style.left = `${(100 * (column + 0.5)) / this.nColumns}%`;
      this.marker.style.top = `${(100 * (row + 0.5)) / this.nRows}%`;
      this.paintCells(this.around, row - REACH, column - REACH, 2 * REACH + 1, 2 * REACH + 1);
      const ties = this.ties.row(unit);
      this.shared.forEach((canvas, rank) => explorers.paint(canvas, this.stimuli.row(ties[rank]), -1, 1));
      const angle = this.orientations[unit];
      const said = angle < 0 ? "no orientation" : `orientation ${angle.toFixed(0)}°`;
      this.numbers.say(`Atom ${unit} in row ${row + 1}, column ${column + 1}: ${said}.`);
    }
  };
})((window.wlscExplorers = window.wlscExplorers || {}));
