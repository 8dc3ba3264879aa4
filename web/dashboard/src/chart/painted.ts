// What follows the prices of the chart without being on its canvas: it is told each time the bars are painted.
import type { IPrimitivePaneRenderer, IPrimitivePaneView, ISeriesPrimitive, Time } from "lightweight-charts";

export class Painted implements ISeriesPrimitive<Time> {
  private readonly followers = new Set<() => void>();
  private readonly renderer: IPrimitivePaneRenderer = { draw: () => this.followers.forEach((told) => told()) };
  private readonly views: readonly IPrimitivePaneView[] = [{ renderer: () => this.renderer }];

  paneViews(): readonly IPrimitivePaneView[] {
    return this.views;
  }

  /** Calls back until what it returns is called. */
  follow(told: () => void): () => void {
    this.followers.add(told);
    return () => this.followers.delete(told);
  }
}
