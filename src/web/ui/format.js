// Numbers, money and times as people of the language read them; times in the site's zone.

export function formats(language, zone, currency) {
  const locale = language === 'ko' ? 'ko-KR' : 'en-GB';
  const number = (digits) => new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const [n0, n1, n2] = [number(0), number(1), number(2)];
  const small = currency === 'KRW' || currency === 'JPY' ? 0 : 2;
  const money = new Intl.NumberFormat(locale, { style: 'currency', currency, currencyDisplay: 'narrowSymbol', minimumFractionDigits: small, maximumFractionDigits: small });
  const unit = new Intl.NumberFormat(locale, { style: 'currency', currency, currencyDisplay: 'narrowSymbol', minimumFractionDigits: small ? 3 : 0, maximumFractionDigits: small ? 3 : 1 });
  const clock = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  const day = new Intl.DateTimeFormat(locale, { timeZone: zone, weekday: 'short', day: 'numeric', month: 'short' });
  const power = (kw) => (Math.abs(kw) >= 100 ? n0 : n1).format(kw);
  return {
    kw: (kw) => `${power(kw)}\u00a0kW`,
    kwBare: power,
    kwh: (kwh) => `${(Math.abs(kwh) >= 100 ? n0 : n1).format(kwh)}\u00a0kWh`,
    n1: (x) => n1.format(x), n0: (x) => n0.format(x), n2: (x) => n2.format(x),
    percent: (x) => `${n0.format(x * 100)} %`,
    money: (x) => money.format(x),
    perKwh: (x) => `${unit.format(x)}/kWh`,
    clock: (t) => clock.format(t),
    day: (t) => day.format(t),
  };
}

const PARTS = new Map();

/** Minutes a zone is ahead of UTC at an instant. */
function offset(zone, t) {
  if (!PARTS.has(zone)) {
    PARTS.set(zone, new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' }));
  }
  const p = Object.fromEntries(PARTS.get(zone).formatToParts(t).map((x) => [x.type, x.value]));
  const local = Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second);
  return Math.round((local - Math.floor(t / 1000) * 1000) / 60000);
}

/** Start of the local day of `t`, shifted by `days`. */
export function midnight(zone, t, days = 0) {
  const shift = offset(zone, t) * 60000;
  const local = Math.floor((t + shift) / 86400000) * 86400000 + days * 86400000;
  return local - offset(zone, local - shift) * 60000;
}

/** The next instant after `now` when the site's clocks show `HH:MM`. */
export function next(zone, now, hhmm) {
  const [h, m] = hhmm.split(':').map(Number);
  for (const days of [0, 1, 2]) {
    const start = midnight(zone, now, days);
    const t = start + (h * 60 + m) * 60000;
    const fixed = t + (offset(zone, start) - offset(zone, t)) * 60000;
    if (fixed > now) return fixed;
  }
  return now + 86400000;
}
