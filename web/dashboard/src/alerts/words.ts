// Alerts as people say them.
import { INTERVALS } from "../chart/choice";
import { amount, duration, price } from "../numbers";
import type { Alert, AlertEvent, AlertInput } from "./alerts";

export const METRICS: Record<Alert["metric"], string> = {
  PRICE: "price",
  CHANGE_PERCENT: "change in %",
  VOLUME: "volume",
  SMA: "SMA",
  EMA: "EMA",
  RSI: "RSI",
  MACD_HISTOGRAM: "MACD histogram",
  BOLLINGER_PERCENT_B: "Bollinger %B",
};

export const OPERATORS: Record<Alert["operator"], string> = {
  CROSSES_ABOVE: "crosses above",
  CROSSES_BELOW: "crosses below",
  ABOVE: "is above",
  BELOW: "is below",
};

export const METHODS: Record<Alert["notificationMethods"][number], string> = {
  WEB: "this page",
  EMAIL: "e-mail",
  SMS: "SMS",
  WEBHOOK: "webhook",
};

/** price crosses above 298.50; RSI 14 of 1h bars is below 30.00 */
export function sentence({ metric, operator, threshold, period, interval }: AlertInput): string {
  const of = interval ? ` of ${INTERVALS[interval]} bars` : "";
  const limit = metric === "VOLUME" ? amount(threshold) : price(threshold);
  return `${METRICS[metric ?? "PRICE"]}${period ? ` ${period}` : ""}${of} ${OPERATORS[operator]} ${limit}`;
}

/** What it is doing: waiting, resting after a fire, done, or paused. */
export function standing({ isActive, cooldownSeconds, lastFiredAt }: Alert): string {
  if (isActive) return cooldownSeconds == null ? "active, once" : `active, at most every ${duration(cooldownSeconds)}`;
  return lastFiredAt && cooldownSeconds == null ? "fired" : "paused";
}

/** e-mail delivered; webhook failed after 3 attempts: … */
export function fate({ method, status, attempts, lastError }: AlertEvent["deliveries"][number]): string {
  const tried = attempts > 1 ? ` after ${attempts} attempts` : "";
  const why = lastError ? `: ${lastError}` : "";
  const told = { DELIVERED: `delivered${tried}`, FAILED: `failed${tried}${why}`, PENDING: `on its way${tried}${why}` };
  return `${METHODS[method]} ${told[status]}`;
}
