"""Makes prices.csv: an hourly day-ahead price that behaves like one, from a pattern and a fixed seed."""
import datetime as dt, math, random

rng = random.Random(20260101)
SHAPE = [-18, -22, -25, -26, -24, -14, 4, 22, 24, 8, -6, -16, -22, -26, -22, -10, 8, 30, 48, 52, 40, 22, 6, -8]
day, wind, sun = dt.datetime(2026, 1, 1), 0.0, 0.0
rows = ["ts_utc,price_eur_kwh"]
while day < dt.datetime(2027, 1, 4):
    doy = day.timetuple().tm_yday
    summer = 0.5 - 0.5 * math.cos(2 * math.pi * (doy - 10) / 365)          # 0 in winter, 1 in summer
    wind = 0.7 * wind + rng.gauss(0, 14)
    sun = min(1.0, max(0.0, 0.55 + 0.4 * (0.5 * sun + rng.gauss(0, 0.55))))
    weekend = {5: -9, 6: -15}.get(day.weekday(), 0)
    base = 92 - 22 * summer + weekend - wind
    for hour in range(24):
        local = (hour + (2 if 88 < doy < 298 else 1)) % 24
        solar = max(0.0, math.cos((local - 13.4) / 6.2 * math.pi / 2)) if 6 < local < 21 else 0.0
        price = base + SHAPE[local] * (1.1 - 0.3 * summer) - (35 + 85 * summer) * sun * solar ** 1.5 + rng.gauss(0, 3)
        rows.append(f"{(day + dt.timedelta(hours=hour)).strftime('%Y-%m-%dT%H:%M:%SZ')},{max(-80, price) / 1000:.4f}")
    day += dt.timedelta(days=1)
open(__file__.replace("prices.py", "prices.csv"), "w").write("\n".join(rows) + "\n")
