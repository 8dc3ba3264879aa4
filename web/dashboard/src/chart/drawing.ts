// The chart on its canvas: bars and volume, indicators over them and in panes, marks of what befell the share.
import {
  CandlestickSeries,
  createChartEx,
  createSeriesMarkers,
  type DeepPartial,
  HistogramSeries,
  type IChartApiBase,
  type ISeriesApi,
  type ISeriesMarkersPluginApi,
  LineSeries,
  LineStyle,
  type SeriesMarker,
  type Time,
  type TimeChartOptions,
  type UTCTimestamp,
} from "lightweight-charts";

import { chartColors } from "./colors";
import type { Columns } from "./columns";
import type { History } from "./document";
import { Painted } from "./painted";
import type { Line, Plot } from "./plots";
import { barTime, tickMark, VenueTime } from "./venue-time";

/** Bars before the left edge at which older ones are asked for. */
const NEAR_THE_START = 40;
const BAR_SPACING = 7;
const RIGHT_OFFSET = 5;
const PANE_SHARE = 0.3;
/** Pixels between the last price and a line that is put beside it. */
const BESIDE = 40;

export type Events = {
  /** The reader comes near the first bar. */
  onStart: () => void;
  /** The crosshair stands on the bar that opened then, or on none. */
  onHover: (epoch: number | null) => void;
};

type LineSeriesApi = ISeriesApi<"Line" | "Histogram">;
/** What befell the share. */
type Befallen = Pick<History, "splits" | "dividends">;

export class Drawing {
  private readonly time = new VenueTime();
  private readonly chart: IChartApiBase<Time>;
  private readonly bars: ISeriesApi<"Candlestick">;
  private readonly volume: ISeriesApi<"Histogram">;
  private readonly marks: ISeriesMarkersPluginApi<Time>;
  private readonly painted = new Painted();
  private lines: { line: Line; series: LineSeriesApi }[] = [];
  private patterns: readonly Plot[] = [];
  private colors = chartColors();
  private columns: Columns | null = null;
  private befell: Befallen = { splits: [], dividends: [] };
  private withinDay = true;

  constructor(container: HTMLElement, events: Events) {
    const options: DeepPartial<TimeChartOptions> = {
      autoSize: true,
      layout: {
        attributionLogo: false,
        fontFamily: "system-ui, sans-serif",
        fontSize: 11,
        panes: { enableResize: true },
      },
      rightPriceScale: { borderVisible: false },
      timeScale: {
        borderVisible: false,
        timeVisible: true,
        secondsVisible: false,
        rightOffset: RIGHT_OFFSET,
        barSpacing: BAR_SPACING,
        tickMarkFormatter: (time: Time, type: number) => tickMark(time, type, this.time.zone),
      },
      localization: { timeFormatter: (time: Time) => barTime(time as number, this.time.zone, this.withinDay) },
    };
    this.chart = createChartEx(container, this.time, options);
    this.bars = this.chart.addSeries(CandlestickSeries, {});
    this.bars.priceScale().applyOptions({ scaleMargins: { top: 0.12, bottom: 0.2 } });
    this.volume = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.85, bottom: 0 } });
    this.marks = createSeriesMarkers(this.bars, []);
    this.bars.attachPrimitive(this.painted);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < NEAR_THE_START && this.columns) events.onStart();
    });
    this.chart.subscribeCrosshairMove(({ time }) => events.onHover((time as number | undefined) ?? null));
    this.paint();
  }

  /** Another series begins: its clocks, the decimals of its prices, and what befell it. */
  begin(zone: string, withinDay: boolean, decimals: number): void {
    this.time.zone = withinDay ? zone : "UTC"; // a day is named by its midnight in UTC
    this.withinDay = withinDay;
    this.chart.applyOptions({ timeScale: { timeVisible: withinDay } });
    this.bars.applyOptions({ priceFormat: { type: "price", precision: decimals, minMove: 10 ** -decimals } });
    this.chart.timeScale().resetTimeScale();
    this.chart.priceScale("right").setAutoScale(true);
  }

  clear(): void {
    this.columns = null;
    this.befell = { splits: [], dividends: [] };
    for (const series of [this.bars, this.volume, ...this.lines.map(({ series }) => series)]) series.setData([]);
    this.marks.setMarkers([]);
  }

  /** Draw the lines of these indicators from now on, and no others. */
  plot(plots: readonly Plot[]): void {
    for (const { series } of this.lines) this.chart.removeSeries(series);
    let pane = 0;
    this.patterns = plots.filter(({ where }) => where === "marks");
    this.lines = plots.flatMap(({ where, lines }) => {
      if (where === "marks") return [];
      const index = where === "pane" ? ++pane : 0;
      return lines.map((line) => ({ line, series: this.add(line, index) }));
    });
    this.chart.panes().forEach((each, index) => each.setStretchFactor(index === 0 ? 1 : PANE_SHARE));
    if (this.columns) this.draw(this.columns, this.befell);
  }

  /** Draw all bars anew; the reader's place stays where it is. */
  draw(columns: Columns, befell: Befallen): void {
    this.columns = columns;
    this.befell = befell;
    const places = columns.epoch.map((_, place) => place);
    this.bars.setData(places.map((place) => this.bar(columns, place)));
    this.volume.setData(places.map((place) => this.amount(columns, place)));
    for (const { line, series } of this.lines) series.setData(places.map((place) => this.point(line, columns, place)));
    this.mark(columns);
  }

  /** Draw the bars from that place on, the others being as they were. */
  move(columns: Columns, from: number): void {
    const held = this.columns?.epoch.length ?? 0;
    this.columns = columns;
    for (let place = from; place < columns.epoch.length; place += 1) {
      const past = place < held - 1;
      this.bars.update(this.bar(columns, place), past);
      this.volume.update(this.amount(columns, place), past);
      for (const { line, series } of this.lines) series.update(this.point(line, columns, place), past);
    }
    if (this.patterns.length) this.mark(columns);
  }

  /** Take the colours from the page anew. */
  paint(): void {
    const colors = (this.colors = chartColors());
    this.chart.applyOptions({
      layout: {
        background: { color: colors.back },
        textColor: colors.text,
        panes: { separatorColor: colors.edge, separatorHoverColor: colors.grid },
      },
      grid: { vertLines: { color: colors.grid }, horzLines: { color: colors.grid } },
    });
    this.bars.applyOptions({
      upColor: colors.up,
      borderUpColor: colors.up,
      wickUpColor: colors.up,
      downColor: colors.down,
      borderDownColor: colors.down,
      wickDownColor: colors.down,
    });
    for (const { line, series } of this.lines) series.applyOptions({ color: colors.line(line.color) });
    if (this.columns) this.draw(this.columns, this.befell);
  }

  /** Put the crosshair on a bar, or take it away. */
  hover(columns: Columns, place: number | null): void {
    if (place === null) this.chart.clearCrosshairPosition();
    else this.chart.setCrosshairPosition(columns.close[place]!, time(columns, place), this.bars);
  }

  /** Where each pane begins, in pixels from the top of the container. */
  paneTops(): number[] {
    const top = this.chart.chartElement().getBoundingClientRect().top;
    return this.chart.panes().map((pane) => (pane.getHTMLElement()?.getBoundingClientRect().top ?? top) - top);
  }

  /** Calls back now and whenever a pane has another height than it had, until what it returns is called. */
  onPanes(changed: () => void): () => void {
    const observer = new ResizeObserver(changed);
    let frame = 0;
    // The library gives a new pane its place on the page a frame or two later.
    const observe = () => {
      const elements = this.chart.panes().map((pane) => pane.getHTMLElement());
      if (elements.includes(null)) frame = requestAnimationFrame(observe);
      else for (const element of elements) observer.observe(element!);
    };
    observe();
    return () => {
      cancelAnimationFrame(frame);
      observer.disconnect();
    };
  }

  /** A line across the bars, which `put` moves to a price, in the colours of then. */
  addLine() {
    const line = this.bars.createPriceLine({ price: 0, lineStyle: LineStyle.Dashed, lineWidth: 1 });
    return {
      put: (price: number) => line.applyOptions({ price, color: this.colors.alert, axisLabelVisible: true }),
      remove: () => this.bars.removePriceLine(line),
    };
  }

  /** Pixels that the prices at the right take up. */
  axisWidth(): number {
    return this.chart.priceScale("right").width();
  }

  /** Pixels from the top of the bars down to the price; null where it is not in sight. */
  yOf(price: number): number | null {
    const y = this.columns && this.bars.priceToCoordinate(price);
    return y !== null && y >= 0 && y <= this.height() ? y : null;
  }

  /** The price so many pixels from the top of the bars; null outside of them. */
  priceAt(y: number): number | null {
    return y >= 0 && y <= this.height() ? this.bars.coordinateToPrice(y) : null;
  }

  /** A price a little above this one, or below it where there is no room; itself while nothing is drawn. */
  priceBeside(price: number): number {
    const y = this.yOf(price) ?? this.height() / 2;
    return this.bars.coordinateToPrice(y > 2 * BESIDE ? y - BESIDE : y + BESIDE) ?? price;
  }

  /** Calls back each time the bars are painted, until what it returns is called. */
  onPaint(painted: () => void): () => void {
    return this.painted.follow(painted);
  }

  remove(): void {
    this.chart.remove();
  }

  private height(): number {
    return this.chart.panes()[0]!.getHeight();
  }

  private add(line: Line, pane: number): LineSeriesApi {
    const options = { color: this.colors.line(line.color), priceLineVisible: false, lastValueVisible: pane > 0 };
    if (line.kind === "columns") return this.chart.addSeries(HistogramSeries, options, pane);
    const points = line.kind === "points";
    const style = { lineWidth: 2, lineVisible: !points, pointMarkersVisible: points, pointMarkersRadius: 2 } as const;
    return this.chart.addSeries(LineSeries, { ...options, ...style, crosshairMarkerVisible: false }, pane);
  }

  private bar(columns: Columns, place: number) {
    const { open, high, low, close } = columns;
    return {
      time: time(columns, place),
      open: open[place]!,
      high: high[place]!,
      low: low[place]!,
      close: close[place]!,
    };
  }

  private amount(columns: Columns, place: number) {
    const value = columns.volume[place];
    if (value == null) return { time: time(columns, place) };
    const up = columns.close[place]! >= columns.open[place]!;
    return { time: time(columns, place), value, color: up ? this.colors.volumeUp : this.colors.volumeDown };
  }

  private point(line: Line, columns: Columns, place: number) {
    const value = columns.series[line.key]?.[place];
    if (value == null) return { time: time(columns, place) };
    const color = this.signColor(line, columns, place);
    return { time: time(columns, place), value, ...(color && { color }) };
  }

  /** The colour of what rises or falls, up to the next bar; none where it turns there, as nothing leads over. */
  private signColor(line: Line, columns: Columns, place: number): string | undefined {
    const signs = columns.series[line.kind === "columns" ? line.key : (line.signKey ?? "")];
    const sign = signs?.[place];
    if (sign == null) return undefined;
    const turns = line.signKey && place + 1 < columns.epoch.length && signs![place + 1] !== sign;
    return turns ? "transparent" : sign < 0 ? this.colors.down : this.colors.up;
  }

  private mark(columns: Columns): void {
    this.marks.setMarkers(
      [...this.patternMarks(columns), ...this.eventMarks(columns)].sort((a, b) => +a.time - +b.time),
    );
  }

  private patternMarks(columns: Columns): SeriesMarker<UTCTimestamp>[] {
    return this.patterns.flatMap(({ label, lines }) =>
      columns.epoch.flatMap((_, place): SeriesMarker<UTCTimestamp>[] => {
        const sign = columns.series[lines[0]!.key]?.[place];
        if (!sign) return [];
        const common = { time: time(columns, place), text: label };
        return sign > 0
          ? [{ ...common, position: "belowBar", shape: "arrowUp", color: this.colors.up }]
          : [{ ...common, position: "aboveBar", shape: "arrowDown", color: this.colors.down }];
      }),
    );
  }

  private eventMarks(columns: Columns): SeriesMarker<UTCTimestamp>[] {
    const common = { position: "aboveBar", shape: "circle", color: this.colors.strong } as const;
    const { splits, dividends } = this.befell;
    return [
      ...splits.map((split) => ({ at: split.time, text: `${split.numerator}:${split.denominator}` })),
      ...dividends.map((dividend) => ({ at: dividend.time, text: `D ${dividend.amount}` })),
    ].flatMap(({ at, text }) => {
      const epoch = Date.parse(at) / 1000;
      // It falls into the last bar that opened by then.
      const place = columns.epoch.findLastIndex((opened) => opened <= epoch);
      return place < 0 ? [] : [{ ...common, time: time(columns, place), text }];
    });
  }
}

const time = (columns: Columns, place: number) => columns.epoch[place] as UTCTimestamp;
