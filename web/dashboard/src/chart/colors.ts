// The colours of the page, for the canvas: styles name them, and say which they are in the dark.
const SERIES = 8;

const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

export function chartColors() {
  const series = Array.from({ length: SERIES }, (_, index) => color(`series-${index + 1}`));
  return {
    back: color("surface"),
    text: color("quiet"),
    grid: color("grid"),
    edge: color("edge"),
    strong: color("text"),
    up: color("up"),
    down: color("down"),
    alert: color("accent"),
    volumeUp: color("up-flash"),
    volumeDown: color("down-flash"),
    /** The nth line's; after the last the first comes again. */
    line: (index: number) => series[index % SERIES]!,
  };
}

export type ChartColors = ReturnType<typeof chartColors>;
