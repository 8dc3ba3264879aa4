// Numbers and instants as people read them.
const WHOLE_AND_LETTERS = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** Decimals that show what a price of this size is about: 65432.10, 98.35, 1.0842, 0.000012. */
export function decimals(price: number): number {
  const size = Math.abs(price);
  if (size === 0 || size >= 10) return 2;
  return Math.min(8, size >= 1 ? 4 : 3 - Math.floor(Math.log10(size)));
}

/** With so many digits after the point, or as many as its size asks for. */
export function price(value: number | null | undefined, digits = decimals(value ?? 0)): string {
  return value == null ? "–" : value.toFixed(digits);
}

/** +1.23 or −1.23, with a true minus as wide as the plus; 0.00 has no sign. */
export function signed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return `${value < 0 ? "−" : "+"}${text}`;
}

/** +0.42%; empty where it is not known. */
export function percent(value: number | null | undefined): string {
  return value == null ? "" : `${signed(value, 2)}%`;
}

/** 59.1M */
export function amount(value: number | null | undefined): string {
  return value == null ? "–" : WHOLE_AND_LETTERS.format(value);
}

/** 19,950 */
export const whole = (value: number) => value.toLocaleString("en");

/** 4 s, 3 min, 5 h, 2 d */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86_400)} d`;
}

/** Today 09:31, else Mon 09:31, on the reader's clock. */
export function moment(instant: string | number): string {
  const date = new Date(instant);
  const today = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  return today ? time : `${date.toLocaleDateString("en-GB", { weekday: "short" })} ${time}`;
}
