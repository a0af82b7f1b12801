/* The electrode: units of every model in the (nx, ny) plane over the published cells; point at one to see it. */
(function (explorers) {
  "use strict";

  /* Both axes are logarithmic and run over this range, in a picture of this side with this margin for the axes
   * and this one at their ends. */
  const RANGE = [0.05, 3];
  const TICKS = [0.1, 0.3, 1, 3];
  const SIZE = 400;
  const MARGIN = 48;
  const END = 10;

  explorers.electrode = class {
    constructor({ models, edges, counts }) {
      this.models = models;
      this.build(edges, counts.rows());
      this.choose(0);
    }

    build(edges, counts) {
      const { element, labelled, svg } = explorers;
      this.dots = svg("g", { stroke: "#fff", "stroke-width": 0.5 });
      this.marker = svg("circle", { r: 8, fill: "none", stroke: "#000", "stroke-width": 2 });
      this.picture = svg(
        "svg",
        {
          class: "wlsc-plot",
          viewBox: `0 0 ${SIZE} ${SIZE}`,
          tabindex: 0,
          role: "application",
          "aria-label": "Plane of nx and ny. Left and right arrow keys step through the units of the model.",
          onpointerdown: (event) => this.point(event),
          onpointermove: (event) => this.point(event),
          onkeydown: (event) => this.key(event),
        },
        density(edges, counts),
        axes(),
        this.dots,
        this.marker,
      );
      this.beyond = element("p", { class: "wlsc-beyond" });
      this.pictures = element("div", { class: "wlsc-pictures" });
      this.facts = element("dl");
      this.tuning = svg("svg", { class: "wlsc-plot", viewBox: "0 0 220 120", role: "img" });
      this.numbers = new explorers.Numbers();
      const names = this.models.map(({ name }, index) => [index, name]);
      const select = explorers.select(names, () => this.choose(Number(select.value)));
      this.content = [
        labelled("model", select),
        element(
          "div",
          { class: "wlsc-columns" },
          element("div", { class: "wlsc-panel wlsc-plane" }, this.picture, this.beyond),
          element(
            "div",
            { class: "wlsc-panel wlsc-wide" },
            this.pictures,
            element("div", { class: "wlsc-facts" }, this.facts),
            this.tuning,
          ),
        ),
        ...this.numbers.content,
      ];
    }

    /** Show the units of one model. */
    choose(index) {
      this.model = this.models[index];
      this.places = this.model.plane.rows().map(([nx, ny]) => [across(nx), SIZE - across(ny)]);
      this.isBeyond = this.model.plane.rows().map((place) => place.some((value) => value < RANGE[0] || value > RANGE[1]));
      const hollow = { fill: "#fff", stroke: this.model.colour, "stroke-width": 1.5 };
      const dots = this.places.map(([cx, cy], unit) =>
        explorers.svg("circle", { cx, cy, r: 4, ...(this.isBeyond[unit] ? hollow : {}) }),
      );
      const nBeyond = this.isBeyond.filter(Boolean).length;
      this.beyond.textContent = nBeyond
        ? `${nBeyond} of ${dots.length} units lie beyond the axes and stand, hollow, at their edge. ` +
          `Below ${RANGE[0]} cycles there is no bar inside the envelope.`
        : "";
      this.dots.setAttribute("fill", this.model.colour);
      this.dots.replaceChildren(...dots);
      this.show(0);
    }

    point(event) {
      const [x, y] = explorers.place(event, this.picture).map((share) => SIZE * share);
      const distances = this.places.map((place) => Math.hypot(place[0] - x, place[1] - y));
      this.show(distances.indexOf(Math.min(...distances)));
    }

    key(event) {
      const last = this.places.length - 1;
      const target = {
        ArrowRight: Math.min(this.unit + 1, last),
        ArrowDown: Math.min(this.unit + 1, last),
        ArrowLeft: Math.max(this.unit - 1, 0),
        ArrowUp: Math.max(this.unit - 1, 0),
        Home: 0,
        End: last,
      }[event.key];
      if (target !== undefined) {
        event.preventDefault();
        this.show(target);
      }
    }

    show(unit) {
      const { digits, element } = explorers;
      this.unit = unit;
      this.marker.setAttribute("cx", this.places[unit][0]);
      this.marker.setAttribute("cy", this.places[unit][1]);
      this.pictures.replaceChildren(...this.model.pictures.map(({ name, table }) => portrait(name, table.row(unit))));
      const [nx, ny] = this.model.plane.row(unit);
      const values = this.model.facts ? this.model.facts.row(unit) : [];
      const facts = [["nx", nx], ["ny", ny], ...this.model.names.map((name, index) => [name, values[index]])];
      this.facts.replaceChildren(
        ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, digits(value))]),
      );
      this.tuning.replaceChildren(...(this.model.rates ? curve(this.model.rates.row(unit), this.model.colour) : []));
      this.tuning.toggleAttribute("hidden", !this.model.rates);
      this.tuning.setAttribute("aria-label", "Response to gratings over their orientation, from 0 to 180 degrees");
      const told = facts.map(([name, value]) => `${name} ${digits(value)}`).join(", ");
      const where = this.isBeyond[unit] ? "; beyond the axes" : "";
      this.numbers.say(`${this.model.name}, unit ${unit + 1} of ${this.places.length}: ${told}${where}.`);
    }
  };

  /** Place of a value along an axis, from the left or from below. */
  function across(value) {
    const [low, high] = RANGE.map(Math.log);
    const share = (Math.log(value) - low) / (high - low);
    return MARGIN + (SIZE - MARGIN - END) * Math.min(Math.max(share, 0), 1);
  }

  /** Grey squares, the darker the more cells a bin holds. */
  function density([xEdges, yEdges], counts) {
    const most = Math.max(...counts.map((column) => Math.max(...column)), 1);
    const squares = counts.flatMap((column, i) =>
      Array.from(column).map((count, j) => {
        const [left, right] = [across(xEdges[i]), across(xEdges[i + 1])];
        const [bottom, top] = [across(yEdges[j]), across(yEdges[j + 1])];
        const grey = `rgb(0 0 0 / ${(0.6 * count) / most})`;
        return explorers.svg("rect", { x: left, y: SIZE - top, width: right - left, height: top - bottom, fill: grey });
      }),
    );
    return explorers.svg("g", {}, ...squares);
  }

  function axes() {
    const { svg } = explorers;
    const [low, high] = RANGE.map(across);
    const frame = svg("path", { d: `M${low} ${SIZE - high}V${SIZE - low}H${high}`, fill: "none", stroke: "#222" });
    const diagonal = svg("path", {
      d: `M${low} ${SIZE - low}L${high} ${SIZE - high}`,
      stroke: "#7a7a7a",
      "stroke-dasharray": "4 4",
    });
    const ticks = TICKS.flatMap((tick) => [
      svg("text", { x: across(tick), y: SIZE - low + 17, "text-anchor": "middle" }, String(tick)),
      svg("text", { x: low - 5, y: SIZE - across(tick) + 5, "text-anchor": "end" }, String(tick)),
    ]);
    const titles = [
      svg("text", { x: SIZE / 2, y: SIZE - 8, "text-anchor": "middle" }, "nx (cycles across the bars)"),
      svg(
        "text",
        { transform: `translate(14 ${SIZE / 2}) rotate(-90)`, "text-anchor": "middle" },
        "ny (cycles along the bars)",
      ),
    ];
    return svg("g", { "font-size": 15, fill: "#222" }, frame, diagonal, ...ticks, ...titles);
  }

  /** A filter on its own symmetric grey scale, with its name. */
  function portrait(name, pixels) {
    const { element } = explorers;
    const canvas = explorers.picture(`Picture of the ${name}`);
    const largest = pixels.reduce((high, value) => Math.max(high, Math.abs(value)), 0);
    explorers.paint(canvas, pixels, -largest, largest);
    return element("div", { class: "wlsc-portrait" }, canvas, element("span", { "aria-hidden": "true" }, name));
  }

  /** A tuning curve over 0 … 180 degrees, scaled to its peak. */
  function curve(rates, colour) {
    const { svg } = explorers;
    const peak = Math.max(...rates) || 1;
    const closed = [...rates, rates[0]];
    const points = closed.map((rate, k) => `${10 + (200 * k) / rates.length},${90 - (80 * rate) / peak}`);
    const labels = [0, 90, 180].map((degrees) =>
      svg(
        "text",
        {
          x: 10 + (200 * degrees) / 180,
          y: 103,
          "text-anchor": degrees ? (degrees === 90 ? "middle" : "end") : "start",
        },
        `${degrees}°`,
      ),
    );
    return [
      svg("path", { d: "M10 90H210", stroke: "#222" }),
      svg("polyline", { points: points.join(" "), fill: "none", stroke: colour, "stroke-width": 2.5 }),
      svg(
        "g",
        { "font-size": 12, fill: "#222" },
        ...labels,
        svg("text", { x: 110, y: 116, "text-anchor": "middle" }, "orientation of the grating"),
      ),
    ];
  }
})((window.wlscExplorers = window.wlscExplorers || {}));
