const WIDTH = 64;
const HEIGHT = 22;

/** The closes as a line, from the oldest at the left to the present price at the right. */
export function Sparkline({ closes, price }: { closes: readonly number[]; price: number | undefined }) {
  const values = price === undefined ? closes : [...closes, price];
  if (values.length < 2) return <svg class="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" />;
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const points = values.map((value, index) => {
    const x = (index / (values.length - 1)) * WIDTH;
    const y = HEIGHT - 1.5 - ((value - low) / span) * (HEIGHT - 3);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  const direction = values.at(-1)! < values[0]! ? "down" : "up";
  return (
    <svg class={`sparkline ${direction}`} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      <polyline points={points.join(" ")} />
    </svg>
  );
}
