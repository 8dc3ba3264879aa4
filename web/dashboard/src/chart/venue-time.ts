// Time along the chart as the clocks at the venue show it.
import {
  defaultHorzScaleBehavior,
  type IHorzScaleBehavior,
  TickMarkType,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";

const HOUR_S = 3600;

type Points = Parameters<IHorzScaleBehavior<Time>["fillWeightsForPoints"]>[0];

/** Where a day begins is read off `zone`; the library itself knows only UTC. */
export class VenueTime extends defaultHorzScaleBehavior() {
  zone = "UTC";

  override fillWeightsForPoints(points: Points, start: number): void {
    const there = points.map((point) => {
      const epoch = this.key(point.time) as unknown as number;
      return { ...point, time: this.convertHorzItemToInternal((epoch + offset(epoch, this.zone)) as UTCTimestamp) };
    });
    super.fillWeightsForPoints(there, start);
    for (let place = start; place < there.length; place += 1) points[place]!.timeWeight = there[place]!.timeWeight;
  }
}

const offsets = new Map<string, number>();

/** Seconds that the clocks there are ahead of UTC; they change on the hour alone. */
function offset(epoch: number, zone: string): number {
  if (zone === "UTC") return 0;
  const hour = Math.floor(epoch / HOUR_S);
  const key = `${zone} ${hour}`;
  let seconds = offsets.get(key);
  if (seconds === undefined) {
    const parts = formatter(zone, {
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
    });
    const part = Object.fromEntries(
      parts.formatToParts(hour * HOUR_S * 1000).map(({ type, value }) => [type, Number(value)]),
    );
    const there = Date.UTC(part.year!, part.month! - 1, part.day!, part.hour!, part.minute!) / 1000;
    offsets.set(key, (seconds = there - hour * HOUR_S));
  }
  return seconds;
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatter(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = zone + JSON.stringify(options);
  let found = formatters.get(key);
  if (!found)
    formatters.set(key, (found = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...options })));
  return found;
}

const TICK_MARKS: Record<TickMarkType, Intl.DateTimeFormatOptions> = {
  [TickMarkType.Year]: { year: "numeric" },
  [TickMarkType.Month]: { month: "short" },
  [TickMarkType.DayOfMonth]: { day: "numeric" },
  [TickMarkType.Time]: { hour: "2-digit", minute: "2-digit" },
  [TickMarkType.TimeWithSeconds]: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
};

export function tickMark(time: Time, type: TickMarkType, zone: string): string {
  return formatter(zone, TICK_MARKS[type]).format((time as number) * 1000);
}

/** Thu 2 Jan 2025, and 15:30 for bars within the day. */
export function barTime(epoch: number, zone: string, withinDay: boolean): string {
  const day: Intl.DateTimeFormatOptions = { weekday: "short", day: "numeric", month: "short", year: "numeric" };
  const time: Intl.DateTimeFormatOptions = withinDay ? { hour: "2-digit", minute: "2-digit" } : {};
  return formatter(zone, { ...day, ...time }).format(epoch * 1000);
}
