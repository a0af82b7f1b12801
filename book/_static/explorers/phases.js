/* Phases: the histogram of spatial phase under each treatment of the images. */
(function (explorers) {
  "use strict";

  const N_BINS = 6;
  const WIDTH = 420;
  const HEIGHT = 240;
  const MARGIN = { left: 40, right: 14, top: 12, bottom: 48 };

  explorers.phases = class {
    constructor({ treatments }) {
      this.treatments = treatments.map(({ name, models }) => ({ name, models: models.map(shared) }));
      const shares = this.treatments.flatMap(({ models }) => models.flatMap((model) => model.shares));
      this.highest = Math.ceil(10 * Math.max(...shares, 1 / N_BINS)) / 10;
      this.build();
      this.choose(0);
    }

    build() {
      const { element, svg } = explorers;
      this.bars = svg("g");
      this.picture = svg(
        "svg",
        { class: "wlsc-plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" },
        this.bars,
        this.axes(),
      );
      this.legend = element("ul", { class: "wlsc-legend" });
      this.numbers = new explorers.Numbers();
      const names = this.treatments.map(({ name }) => [name, name]);
      this.choices = new explorers.Choices("images", names, (index) => this.choose(index));
      this.content = [
        element("div", { class: "wlsc-histogram" }, this.picture, this.legend),
        this.choices.content,
        ...this.numbers.content,
      ];
    }

    axes() {
      const { svg } = explorers;
      const bottom = this.height(0);
      const ticks = Array.from({ length: N_BINS + 1 }, (_, bin) => {
        const text = String((90 * bin) / N_BINS);
        return svg("text", { x: across(bin), y: bottom + 18, "text-anchor": "middle" }, text);
      });
      const levels = [0, this.highest / 2, this.highest].map((share) =>
        svg("text", { x: MARGIN.left - 6, y: this.height(share) + 5, "text-anchor": "end" }, explorers.digits(share)),
      );
      const uniform = this.height(1 / N_BINS);
      return svg(
        "g",
        { "font-size": 15, fill: "#222" },
        svg("path", {
          d: `M${across(0)} ${this.height(this.highest)}V${bottom}H${across(N_BINS)}`,
          fill: "none",
          stroke: "#222",
        }),
        svg("path", { d: `M${across(0)} ${uniform}H${across(N_BINS)}`, stroke: "#7a7a7a", "stroke-dasharray": "4 4" }),
        ...ticks,
        ...levels,
        svg(
          "text",
          { x: WIDTH / 2, y: HEIGHT - 8, "text-anchor": "middle" },
          "spatial phase (degrees; 0 even, 90 odd)",
        ),
      );
    }

    /** Height in the picture of a share of the units. */
    height(share) {
      return HEIGHT - MARGIN.bottom - ((HEIGHT - MARGIN.top - MARGIN.bottom) * share) / this.highest;
    }

    /** Show the histogram of one treatment. */
    choose(index) {
      const { element, svg } = explorers;
      const { name, models } = this.treatments[index];
      this.models = models;
      this.choices.press(index);
      this.picture.setAttribute("aria-label", `Histogram of spatial phase, ${name}`);
      const width = (across(1) - across(0)) / (models.length + 1);
      const bars = models.flatMap(({ colour, shares }, place) =>
        shares.map((share, bin) => {
          const [x, y] = [across(bin) + width * (place + 0.5), this.height(share)];
          return svg("rect", { x, y, width, height: this.height(0) - y, fill: colour });
        }),
      );
      this.bars.replaceChildren(...bars);
      const entries = models.map((model) =>
        element(
          "li",
          {},
          element("span", { class: "wlsc-swatch", style: `background: ${model.colour}` }),
          `${model.name} (${model.count} units)`,
        ),
      );
      this.legend.replaceChildren(...entries);
      const told = models.map((model) => {
        const [even, odd] = [model.shares[0], model.shares[N_BINS - 1]].map((share) => `${(100 * share).toFixed(0)} %`);
        return `${model.name}: ${even} of ${model.count} units below 15 degrees, ${odd} above 75`;
      });
      this.numbers.say(`${name}. ${told.join("; ")}.`);
    }
  };

  /** Share of a model's units in each bin. */
  function shared({ name, colour, phases }) {
    const shares = new Array(N_BINS).fill(0);
    phases.flat().forEach((phase) => {
      shares[Math.min(Math.floor((phase / 90) * N_BINS), N_BINS - 1)] += 1 / phases.nRows;
    });
    return { name, colour, shares, count: phases.nRows };
  }

  /** Place of the left edge of a bin. */
  function across(bin) {
    return MARGIN.left + ((WIDTH - MARGIN.left - MARGIN.right) * bin) / N_BINS;
  }
})((window.wlscExplorers = window.wlscExplorers || {}));
