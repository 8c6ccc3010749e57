//! Prices that people's contracts have, each from a site file to the price of a kWh: the right answers are worked out by hand.

use chrono::TimeDelta;
use madang::model::{ControllerState, PlanValues};
use madang::site::{Plant, parse};
use madang::tariff::{MeterInterval, MonthUse, Peaks, PriceFiles, PriceSeries, Tariff, bill};
use madang::time::{Interval, TimeGrid, Timestamp};
use madang::units::{Energy, Power};

/// A home in Berlin with this tariff.
fn plant(tariff: &str) -> Result<Plant, String> {
    let text = format!(
        "schema = \"site/1\"\nname = \"b\"\nmode = \"observe\"\n[location]\nlatitude = \"52.5 deg\"\nlongitude = \"13.4 deg\"\n\
         time_zone = \"Europe/Berlin\"\ncountry = \"DE\"\n[connection_point]\nimport_max = \"11 kW\"\nexport_max = \"11 kW\"\n\
         fuse = \"25 A\"\nmeter = \"grid\"\n[components.grid]\nkind = \"meter\"\n[components.home]\nkind = \"load\"\n\
         daily = \"10 kWh\"\nshape = \"household\"\nmax = \"9 kW\"\n[devices.meter]\naddress = \"tcp://127.0.0.1:15600\"\n\
         profile = \"sunspec\"\ncomponents = [\"grid\"]\n{tariff}"
    );
    let faults = |all: Vec<madang::site::Fault>| all.iter().map(|f| format!("{}: {}; ", f.key, f.message)).collect();
    parse("site.toml", &text).map(|(site, _)| site.plant).map_err(faults)
}

/// `p.csv` with these prices, `out.csv` with half of them.
fn day_ahead(rows: &[(&str, f64)]) -> PriceFiles {
    let file = |name: &str, share: f64| {
        let rows: String = rows.iter().map(|(t, p)| format!("{t},{}\n", share * p)).collect();
        let series = PriceSeries::parse(&format!("ts_utc,price\n{rows}"), "EUR").unwrap();
        (name.to_owned(), series.into())
    };
    [file("p.csv", 1.0), file("out.csv", 0.5)].into_iter().collect()
}

const MARCH: [(&str, f64); 3] = [
    ("2026-03-31T16:00:00Z", 0.10),
    ("2026-03-31T17:00:00Z", 0.20),
    ("2026-04-01T16:00:00Z", 0.30),
];

/// §14a EnWG, module 3: grid fee by the quarter of an hour, only in the first and last quarter of the year.
const MODULE_3: &str = r#"
[tariff]
currency = "EUR"
tax = "19 %"
[[tariff.import_fee.period]]
months = [1, 2, 3, 10, 11, 12]
days = ["all"]
hours = ["02:30-05:00"]
price = "0.01 EUR/kWh"
[[tariff.import_fee.period]]
months = [1, 2, 3, 10, 11, 12]
days = ["all"]
hours = ["05:00-18:15", "21:15-02:30"]
price = "0.10 EUR/kWh"
[[tariff.import_fee.period]]
months = [1, 2, 3, 10, 11, 12]
days = ["all"]
hours = ["18:15-21:15"]
price = "0.15 EUR/kWh"
[[tariff.import_fee.period]]
months = [4, 5, 6, 7, 8, 9]
days = ["all"]
hours = ["00:00-24:00"]
price = "0.10 EUR/kWh"
"#;

fn month(at: Timestamp) -> MonthUse {
    MonthUse {
        month_start: at,
        imported: Energy::ZERO,
        daily: None,
        peaks: Peaks::of(Power::ZERO),
    }
}

/// `from|to` (UTC) and the import and export price of it.
fn check(tariff: &str, prices: &[(&str, f64)], rows: &[(&str, f64, f64)]) {
    let tariff = plant(tariff).unwrap_or_else(|why| panic!("{why}")).tariff;
    let prices = day_ahead(prices);
    for (span, buy, sell) in rows {
        let (start, end) = span.split_once('|').unwrap();
        let (start, end) = (start.parse().unwrap(), end.parse().unwrap());
        let i = Interval { start, end };
        let found = tariff.buy_over(i, Some(&prices), &month(start)).unwrap();
        let near = |found: f64, right: f64| (found - right).abs() < 1e-12;
        assert!(
            near(found.price.as_per_kwh(), *buy),
            "{span}: bought at {found:?}, right is {buy}"
        );
        let paid = tariff.sell_over(i, Some(&prices)).unwrap().as_per_kwh();
        assert!(near(paid, *sell), "{span}: sold at {paid}, right is {sell}");
    }
}

#[test]
fn a_fee_by_time_of_day_adds_to_any_import_price() {
    let dynamic = format!("{MODULE_3}[tariff.import]\nkind = \"dynamic\"\nfile = \"p.csv\"\n");
    let rows = [
        // 18:00 to 18:15 and on to 18:30 local, 0.10 from the market
        ("2026-03-31T16:00:00Z|2026-03-31T16:15:00Z", 1.19 * 0.20, 0.0),
        ("2026-03-31T16:15:00Z|2026-03-31T16:30:00Z", 1.19 * 0.25, 0.0),
        // half of this half hour has the high fee
        ("2026-03-31T16:00:00Z|2026-03-31T16:30:00Z", 1.19 * 0.225, 0.0),
        ("2026-03-31T17:15:00Z|2026-03-31T17:30:00Z", 1.19 * 0.35, 0.0),
        // from 1 April one fee
        ("2026-04-01T16:15:00Z|2026-04-01T16:30:00Z", 1.19 * 0.40, 0.0),
    ];
    check(&dynamic, &MARCH, &rows);
    let flat = format!("{MODULE_3}[tariff.import]\nkind = \"flat\"\nprice = \"0.10 EUR/kWh\"\n");
    let rows = [
        ("2026-03-31T00:15:00Z|2026-03-31T00:30:00Z", 1.19 * 0.20, 0.0),
        ("2026-03-31T00:30:00Z|2026-03-31T00:45:00Z", 1.19 * 0.11, 0.0),
        ("2026-03-31T03:00:00Z|2026-03-31T03:15:00Z", 1.19 * 0.20, 0.0),
        // 21:15 local
        ("2026-03-31T19:00:00Z|2026-03-31T19:30:00Z", 1.19 * 0.225, 0.0),
        ("2026-04-01T00:30:00Z|2026-04-01T00:45:00Z", 1.19 * 0.20, 0.0),
    ];
    check(&flat, &MARCH, &rows);
    // 120 kWh of the month are used up within the quarter of an hour: 30 at 0.2, 10 at 0.4, the fee 0.1 until 18:15 local
    let blocks = "[tariff.import]\nkind = \"blocks\"\n[[tariff.import.block]]\nup_to = \"120 kWh\"\nprice = \"0.2 EUR/kWh\"\n\
                  [[tariff.import.block]]\nprice = \"0.4 EUR/kWh\"\n";
    let tariff = plant(&format!("{MODULE_3}{blocks}")).unwrap().tariff;
    let (start, end) = (
        "2026-03-31T16:00:00Z".parse().unwrap(),
        "2026-03-31T16:30:00Z".parse().unwrap(),
    );
    let used = MonthUse {
        imported: Energy::kwh(90.0),
        ..month(tariff.month_start(start))
    };
    let metered = MeterInterval {
        interval: Interval { start, end },
        import: Energy::kwh(40.0),
        export: Energy::ZERO,
    };
    let bill = bill(&tariff, None, used, &[metered]);
    assert!(
        (bill.energy.amount() - 1.19 * (30.0 * 0.325 + 10.0 * 0.525)).abs() < 1e-9,
        "{bill:?}"
    );
}

#[test]
fn a_fee_table_with_a_gap_is_refused_with_its_minute() {
    let gap = MODULE_3.replace("02:30-05:00", "02:45-05:00");
    let flat = "[tariff.import]\nkind = \"flat\"\nprice = \"0.10 EUR/kWh\"\n";
    let why = plant(&format!("{gap}{flat}")).unwrap_err();
    assert!(
        why.contains("tariff.import_fee.period: no price for month 1, working days, 02:30"),
        "{why}"
    );
}

/// An hour at 0.30, one at −0.50, one at 0.02, one at 0.90; UTC.
const MAY: [(&str, f64); 4] = [
    ("2026-05-10T09:00:00Z", 0.30),
    ("2026-05-10T10:00:00Z", -0.50),
    ("2026-05-10T11:00:00Z", 0.02),
    ("2026-05-10T12:00:00Z", 0.90),
];

const HOURS: [&str; 4] = [
    "2026-05-10T09:00:00Z|2026-05-10T10:00:00Z",
    "2026-05-10T10:00:00Z|2026-05-10T11:00:00Z",
    "2026-05-10T11:00:00Z|2026-05-10T12:00:00Z",
    "2026-05-10T12:00:00Z|2026-05-10T13:00:00Z",
];

/// `tariff` and what the four hours cost and pay.
fn check_may(tariff: &str, buy: [f64; 4], sell: [f64; 4]) {
    let head = "[tariff]\ncurrency = \"EUR\"\n";
    let rows: Vec<_> = (0..4).map(|i| (HOURS[i], buy[i], sell[i])).collect();
    check(&format!("{head}{tariff}"), &MAY, &rows);
}

#[test]
fn prices_below_zero_are_taxed_floored_and_capped_as_the_contract_says() {
    let dynamic = "[tariff.import]\nkind = \"dynamic\"\nfile = \"p.csv\"\n";
    let fee = "import_fee = \"0.13 EUR/kWh\"\ntax = \"19 %\"\n";
    let (high, low, top) = (1.19 * 0.43, 1.19 * 0.15, 1.19 * 1.03);
    let none = [0.0; 4];
    // NL and SE tax a negative total: 1.19 × (0.13 − 0.50)
    check_may(&format!("{fee}{dynamic}"), [high, -0.4403, low, top], none);
    // DE and FI do not
    check_may(
        &format!("{fee}tax_on_negative = false\n{dynamic}"),
        [high, -0.37, low, top],
        none,
    );
    // a contract whose price with fee and tax is never below 0, nor above 1
    let whole = "import_floor = \"0 EUR/kWh\"\nimport_cap = \"1 EUR/kWh\"\n";
    check_may(&format!("{fee}{whole}{dynamic}"), [high, 0.0, low, 1.0], none);
    // one whose energy price is: the fee stays
    let energy = "floor = \"0 EUR/kWh\"\ncap = \"0.40 EUR/kWh\"\n";
    check_may(
        &format!("{fee}{dynamic}{energy}"),
        [high, 1.19 * 0.13, low, 1.19 * 0.53],
        none,
    );
    // half of an hour with a floor and half of one without: the mean of the bounded prices, not the bounded mean
    let rows = [("2026-05-10T09:30:00Z|2026-05-10T10:30:00Z", 0.5 * high, 0.0)];
    check(
        &format!("[tariff]\ncurrency = \"EUR\"\n{fee}{whole}{dynamic}"),
        &MAY,
        &rows,
    );
}

#[test]
fn feed_in_follows_its_own_file_and_is_unpaid_or_bounded_where_the_contract_says() {
    let flat = "[tariff.import]\nkind = \"flat\"\nprice = \"0.31 EUR/kWh\"\n";
    let dynamic = "[tariff.import]\nkind = \"dynamic\"\nfile = \"p.csv\"\n";
    let (by_hour, always) = ([0.30, -0.50, 0.02, 0.90], [0.31; 4]);
    // DE since February 2025: the fixed feed-in price is not paid in hours of a negative day-ahead price
    let unpaid = "[tariff.export]\nkind = \"flat\"\nprice = \"0.0786 EUR/kWh\"\nunpaid_below = \"0 EUR/kWh\"\n";
    check_may(
        &format!("{flat}{unpaid}file = \"p.csv\"\n"),
        always,
        [0.0786, 0.0, 0.0786, 0.0786],
    );
    check_may(&format!("{dynamic}{unpaid}"), by_hour, [0.0786, 0.0, 0.0786, 0.0786]);
    let own = "[tariff.export]\nkind = \"dynamic\"\nfile = \"out.csv\"\n";
    check_may(&format!("{flat}{own}"), always, [0.15, -0.25, 0.01, 0.45]);
    check_may(&format!("{dynamic}{own}"), by_hour, [0.15, -0.25, 0.01, 0.45]);
    let adder = "share = \"80 %\"\nadder = \"-0.01 EUR/kWh\"\n";
    check_may(&format!("{flat}{own}{adder}"), always, [0.11, -0.21, -0.002, 0.35]);
    check_may(
        &format!("{flat}{own}{adder}floor = \"0 EUR/kWh\"\ncap = \"0.30 EUR/kWh\"\n"),
        always,
        [0.11, 0.0, 0.0, 0.30],
    );
    // 09:00 to 13:00 UTC is 11:00 to 15:00 in Berlin
    let by_time = "[tariff.export]\nkind = \"time-of-use\"\n[[tariff.export.period]]\ndays = [\"all\"]\nhours = [\"12:00-14:00\"]\n\
                   price = \"0.02 EUR/kWh\"\n[[tariff.export.period]]\ndays = [\"all\"]\nhours = [\"14:00-12:00\"]\nprice = \"0.10 EUR/kWh\"\n";
    check_may(&format!("{flat}{by_time}"), always, [0.10, 0.02, 0.02, 0.10]);
}

#[test]
fn export_prices_that_follow_nothing_are_refused_with_what_to_write() {
    let flat =
        "[tariff]\ncurrency = \"EUR\"\n[tariff.import]\nkind = \"flat\"\nprice = \"0.31 EUR/kWh\"\n[tariff.export]\n";
    let rows = [
        ("kind = \"dynamic\"", "file = \"prices.csv\""),
        (
            "kind = \"flat\"\nprice = \"0.08 EUR/kWh\"\nunpaid_below = \"0 EUR/kWh\"",
            "file = \"prices.csv\"",
        ),
        (
            "kind = \"flat\"\nprice = \"0.08 EUR/kWh\"\nfile = \"p.csv\"",
            "this one does not",
        ),
        (
            "kind = \"flat\"\nprice = \"0.08 EUR/kWh\"\nfloor = \"1 EUR/kWh\"\ncap = \"0 EUR/kWh\"",
            "above `cap`",
        ),
        (
            "kind = \"flat\"\nprice = \"0.08 EUR/kWh\"\nfloor = \"1 USD/kWh\"",
            "currency is EUR",
        ),
    ];
    for (export, part) in rows {
        let why = plant(&format!("{flat}{export}\n")).unwrap_err();
        assert!(why.contains("tariff.export") && why.contains(part), "{export}: {why}");
    }
}

fn with_demand(keys: &str) -> Tariff {
    let (of_all, keys) = match keys.starts_with("billing_day") {
        true => (keys, ""),
        false => ("", keys),
    };
    let text = format!(
        "[tariff]\ncurrency = \"EUR\"\ntax = \"25 %\"\n{of_all}\n[tariff.import]\nkind = \"flat\"\nprice = \"0.1 EUR/kWh\"\n\
         [tariff.demand]\nprice = \"30 EUR/kW\"\nwindow = \"1 h\"\n{keys}\n"
    );
    plant(&text).unwrap_or_else(|why| panic!("{why}")).tariff
}

/// Hours (by their start, UTC) with the energy imported in each.
fn metered(hours: &[(&str, f64)]) -> Vec<MeterInterval> {
    let hour = |(start, kwh): &(&str, f64)| {
        let start: Timestamp = format!("{start}:00:00Z").parse().unwrap();
        let end = start + TimeDelta::hours(1);
        MeterInterval {
            interval: Interval { start, end },
            import: Energy::kwh(*kwh),
            export: Energy::ZERO,
        }
    };
    hours.iter().map(hour).collect()
}

/// The demand charge that the hours add, before tax.
fn check_demand(keys: &str, hours: &[(&str, f64)], right: f64) {
    let (tariff, metered) = (with_demand(keys), metered(hours));
    let first = MonthUse::first(&tariff, metered[0].interval.start);
    let found = bill(&tariff, None, first, &metered).demand.amount();
    assert!(
        (found - 1.25 * right).abs() < 1e-9,
        "{keys}: {} for {right}",
        found / 1.25
    );
}

#[test]
fn demand_is_billed_on_the_windows_that_the_contract_counts() {
    // highest hours by day: 6, 4, 8, 2 kW
    let days = [
        ("2026-05-04T10", 5.0),
        ("2026-05-04T11", 6.0),
        ("2026-05-05T10", 4.0),
        ("2026-05-06T10", 8.0),
        ("2026-05-07T10", 2.0),
    ];
    check_demand("", &days, 30.0 * 8.0);
    // NO: the mean of the three highest hours of different days, (8 + 6 + 4) / 3
    check_demand("peaks = 3\none_a_day = true", &days, 30.0 * 6.0);
    check_demand("peaks = 3", &days, 30.0 * (8.0 + 6.0 + 5.0) / 3.0);
    // what is not there yet counts as 0
    check_demand("peaks = 3\none_a_day = true", &days[..2], 30.0 * 2.0);
    // 5 kW are billed already; (8 + 6 + 5) / 3 of days that are not known and of those that are
    check_demand(
        "peaks = 3\none_a_day = true\npeak_so_far = \"5 kW\"",
        &days,
        30.0 * (19.0 / 3.0 - 5.0),
    );
    // SE: working days from 6 to 22 only; 10 May 2026 is a Sunday, 04:00 UTC is 06:00 in Berlin
    let week = [
        ("2026-05-10T10", 10.0),
        ("2026-05-11T03", 9.0),
        ("2026-05-11T04", 7.0),
        ("2026-05-11T20", 12.0),
    ];
    check_demand("days = [\"work\"]\nhours = [\"06:00-22:00\"]", &week, 30.0 * 7.0);
    check_demand("days = [\"work\"]", &week, 30.0 * 12.0);
    check_demand("months = [11, 12, 1, 2, 3]", &week, 0.0);
    // Flanders: 2.5 kW are billed anyway, in each month; local midnight of 1 June is 22:00 UTC
    let months = [
        ("2026-05-31T20", 2.0),
        ("2026-05-31T21", 3.0),
        ("2026-05-31T22", 2.5),
        ("2026-05-31T23", 3.5),
    ];
    check_demand("minimum = \"2.5 kW\"", &months, 30.0 * (0.5 + 1.0));
    check_demand("", &months, 30.0 * (3.0 + 3.5));
    // a month from the 15th to the 14th: the peak of 31 May is that of 1 June
    check_demand("billing_day = 15", &months, 30.0 * 3.5);
}

#[test]
fn a_ratchet_bills_a_share_of_the_highest_window_of_the_last_year() {
    let next = [
        ("2026-05-31T10", 100.0),
        ("2026-06-10T10", 70.0),
        ("2026-06-11T10", 90.0),
    ];
    // 80 % of 110 kW are 88 kW: 12 kW more in May, 2 kW in June
    check_demand(
        "ratchet = \"80 %\"\nratchet_peak = \"110 kW\"",
        &next,
        30.0 * (12.0 + 2.0),
    );
    // of May's 100 kW 80 are billed in June
    check_demand("ratchet = \"80 %\"", &next, 30.0 * (100.0 + 10.0));
    // only July to September and December to February count
    check_demand(
        "ratchet = \"80 %\"\nratchet_months = [7, 8, 9, 12, 1, 2]",
        &next,
        30.0 * (100.0 + 90.0),
    );
    // a year and a month later what the site file told is forgotten: all of 50 kW, then 10 kW beyond 80 % of them
    let late = [
        ("2026-05-31T10", 50.0),
        ("2027-06-10T10", 50.0),
        ("2027-07-10T10", 50.0),
    ];
    check_demand(
        "ratchet = \"80 %\"\nratchet_peak = \"110 kW\"",
        &late,
        30.0 * (0.0 + 50.0 + 10.0),
    );
}

#[test]
fn keys_of_power_that_contradict_each_other_are_refused() {
    let head = "[tariff]\ncurrency = \"EUR\"\n[tariff.import]\nkind = \"flat\"\nprice = \"0.1 EUR/kWh\"\n[tariff.demand]\nprice = \"30 EUR/kW\"\n";
    let rows = [
        ("peaks = 0", "from 1 to 31"),
        ("minimum = \"-1 kW\"", "negative"),
        ("ratchet = \"120 %\"", "100 %"),
        ("ratchet_peak = \"110 kW\"", "without `ratchet`"),
        ("days = [\"weekday\"]", "no kind of day"),
        (
            "days = [\"work\"]\n[tariff.capacity]\nsubscribed = \"5 kW\"\noverrun = \"9 EUR/kW\"",
            "counts every window",
        ),
    ];
    for (keys, part) in rows {
        let why = plant(&format!("{head}{keys}\n")).unwrap_err();
        assert!(why.contains(part), "{keys}: {why}");
    }
}

/// What the plan's problem charges for flows at the meter is what the bill charges, whatever flows.
fn check_agreement(name: &str, tariff: &str, now: &str) {
    let plant = plant(tariff).unwrap_or_else(|why| panic!("{name}: {why}"));
    let now: Timestamp = now.parse().unwrap();
    let prices = day_ahead(&MAY_31);
    let mut state = ControllerState::fresh(&plant, now);
    // some days of the month are over
    let mut before = state.month.clone();
    for (day, kwh) in [(20, 3.0), (25, 2.0), (30, 4.0)] {
        let start: Timestamp = format!("2026-05-{day}T10:00:00Z").parse().unwrap();
        plant.tariff.window_charge(&mut before.peaks, start, Energy::kwh(kwh));
    }
    before.imported = Energy::kwh(95.0);
    state.month = before.clone();
    let scan = madang::model::Scan {
        measurements: Default::default(),
        devices: Vec::new(),
    };
    let snapshot = madang::state::snapshot(&plant, &scan, &mut state, now);
    let grid = TimeGrid::aligned(now, plant.timing.interval, TimeDelta::hours(30));
    let forecast = madang::forecast::forecast(&plant, &state, Some(&snapshot), Some(&prices), grid.clone(), now);
    let problem = madang::plan::problem(&plant, &snapshot, &forecast, &state).problem;
    let flows = |import: Vec<f64>, export: Vec<f64>| -> PlanValues {
        let none = vec![0.0; import.len()];
        serde_json::from_value(serde_json::json!({
            "import_kw": import, "export_kw": export, "unserved_kw": none, "spill_kw": none
        }))
        .unwrap()
    };
    let none = vec![0.0; problem.steps];
    let sunk = madang::check::cost(&problem, &flows(none.clone(), none));
    for seed in 0..20 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut draw =
            |most: f64| -> Vec<f64> { (0..problem.steps).map(|_| most * (dice.f64() - 0.3).max(0.0)).collect() };
        let (import, export) = (draw(9.0), draw(4.0));
        let metered: Vec<MeterInterval> = grid
            .intervals()
            .zip(import.iter().zip(&export))
            .map(|(interval, (i, e))| MeterInterval {
                interval,
                import: Power::kw(*i) * interval.length(),
                export: Power::kw(*e) * interval.length(),
            })
            .collect();
        let billed = bill(&plant.tariff, Some(&prices), before.clone(), &metered);
        let planned = madang::check::cost(&problem, &flows(import, export)) - sunk;
        let right = (billed.energy + billed.demand).amount();
        assert!(
            billed.unpriced == 0 && (planned - right).abs() < 1e-6,
            "{name}: planned {planned}, billed {right}"
        );
    }
}

/// Hours of 31 May and 1 June, one below zero, from 00:00 local on; the last price is that of the second day.
const MAY_31: [(&str, f64); 4] = [
    ("2026-05-30T22:00:00Z", 0.20),
    ("2026-05-31T22:00:00Z", -0.30),
    ("2026-06-01T22:00:00Z", 0.10),
    ("2026-06-02T22:00:00Z", 0.10),
];

#[test]
fn a_plan_counts_the_money_that_the_bill_will_count() {
    let head = "[tariff]\ncurrency = \"EUR\"\ntax = \"19 %\"\n";
    let dynamic = "[tariff.import]\nkind = \"dynamic\"\nfile = \"p.csv\"\n";
    let flat = "[tariff.import]\nkind = \"flat\"\nprice = \"0.31 EUR/kWh\"\n";
    let demand = "[tariff.demand]\nprice = \"5 EUR/kW\"\nwindow = \"1 h\"\n";
    let own = "[tariff.export]\nkind = \"dynamic\"\nfile = \"out.csv\"\nfloor = \"-0.1 EUR/kWh\"\n";
    let unpaid =
        "[tariff.export]\nkind = \"flat\"\nprice = \"0.08 EUR/kWh\"\nunpaid_below = \"0 EUR/kWh\"\nfile = \"p.csv\"\n";
    let capacity = "[tariff.capacity]\nsubscribed = \"2.5 kW\"\noverrun = \"4.30 EUR/kW\"\n";
    let blocks = "[tariff.import]\nkind = \"blocks\"\n[[tariff.import.block]]\nup_to = \"120 kWh\"\nprice = \"0.2 EUR/kWh\"\n\
                  [[tariff.import.block]]\nprice = \"0.4 EUR/kWh\"\n";
    let noon = "2026-05-31T10:00:00Z";
    let forms = [
        ("fee by time", format!("{MODULE_3}{dynamic}"), noon),
        (
            "tax",
            format!("{head}tax_on_negative = false\nimport_fee = \"0.1 EUR/kWh\"\n{dynamic}"),
            noon,
        ),
        (
            "bounds",
            format!("{head}import_floor = \"0 EUR/kWh\"\n{dynamic}cap = \"0.15 EUR/kWh\"\n"),
            noon,
        ),
        ("own export file", format!("{head}{flat}{own}"), noon),
        ("unpaid", format!("{head}{flat}{unpaid}"), noon),
        (
            "month boundary",
            format!("{head}{dynamic}{demand}peak_so_far = \"1 kW\"\n"),
            noon,
        ),
        (
            "three days",
            format!("{head}{flat}{demand}peaks = 3\none_a_day = true\n"),
            noon,
        ),
        (
            "three hours",
            format!("{head}{flat}{demand}peaks = 3\npeak_so_far = \"2 kW\"\n"),
            noon,
        ),
        (
            "working hours",
            format!("{head}{flat}{demand}days = [\"work\"]\nhours = [\"06:00-22:00\"]\n"),
            noon,
        ),
        ("minimum", format!("{head}{flat}{demand}minimum = \"7 kW\"\n"), noon),
        (
            "ratchet",
            format!("{head}{flat}{demand}ratchet = \"90 %\"\nratchet_peak = \"6 kW\"\n"),
            "2026-06-02T10:00:00Z",
        ),
        ("subscribed", format!("{head}{flat}{capacity}"), noon),
        ("blocks", format!("{MODULE_3}{blocks}"), "2026-05-29T22:00:00Z"),
        ("blocks of two months", format!("{MODULE_3}{blocks}"), noon),
        ("free hours of two days", format!("{MODULE_3}{FREE}"), noon),
    ];
    for (name, tariff, now) in forms {
        check_agreement(name, &tariff, now);
    }
}

/// The first 50 kWh from 11 to 14 h are free each day.
const FREE: &str = r#"
[tariff.import]
kind = "time-of-use"
[[tariff.import.period]]
name = "free"
days = ["all"]
hours = ["11:00-14:00"]
price = "0 EUR/kWh"
up_to = "50 kWh"
beyond = "0.38 EUR/kWh"
[[tariff.import.period]]
name = "day"
days = ["all"]
hours = ["14:00-11:00"]
price = "0.38 EUR/kWh"
"#;

fn check_energy(tariff: &str, hours: &[(&str, f64)], right: f64) {
    let tariff = plant(&format!("[tariff]\ncurrency = \"EUR\"\n{tariff}")).unwrap_or_else(|why| panic!("{why}"));
    let metered = metered(hours);
    let first = MonthUse::first(&tariff.tariff, metered[0].interval.start);
    let found = bill(&tariff.tariff, None, first, &metered).energy.amount();
    assert!((found - right).abs() < 1e-9, "{found} for {right}");
}

#[test]
fn a_price_may_hold_for_a_quantity_a_day_or_a_month() {
    // 11 h in Berlin is 09:00 UTC: 50 of 60 kWh are free, the hour from 14 h is not; the next day begins anew
    let days = [
        ("2026-05-10T09", 30.0),
        ("2026-05-10T10", 30.0),
        ("2026-05-10T12", 1.0),
        ("2026-05-11T09", 40.0),
    ];
    check_energy(FREE, &days, 0.38 * (10.0 + 1.0));
    // KR, home: 72 kWh a day from 29 July to 1 August, prices in thousands of won
    let (fees, won) = (
        "import_fee = \"0.014 EUR/kWh\"\ntax = \"13.2 %\"\n",
        ["0.12", "0.2146", "0.3073"],
    );
    let rows = |ends: [&str; 2], months: &str| -> String {
        let row = |end: &str, price: &str| {
            let up_to = if end.is_empty() {
                String::new()
            } else {
                format!("up_to = \"{end} kWh\"\n")
            };
            format!("[[tariff.import.block]]\n{up_to}price = \"{price} EUR/kWh\"\n{months}\n")
        };
        [row(ends[0], won[0]), row(ends[1], won[1]), row("", won[2])].concat()
    };
    let hours: Vec<(String, f64)> = ["07-28T22", "07-29T22", "07-30T22", "07-31T22"]
        .iter()
        .map(|h| (format!("2026-{h}"), 72.0))
        .collect();
    let hours: Vec<(&str, f64)> = hours.iter().map(|(h, kwh)| (h.as_str(), *kwh)).collect();
    let kind = "[tariff.import]\nkind = \"blocks\"\n";
    // 200 kWh and 16 kWh of July, 72 kWh of August
    check_energy(
        &format!("{fees}{kind}{}", rows(["200", "400"], "")),
        &hours,
        45.399_539_2,
    );
    // in July and August the first block ends at 300 kWh
    let seasons = [
        rows(["200", "400"], "months = [1, 2, 3, 4, 5, 6, 9, 10, 11, 12]"),
        rows(["300", "450"], "months = [7, 8]"),
    ];
    let (summer, june) = (seasons.concat(), [("2026-06-20T10", 250.0), ("2026-07-20T10", 250.0)]);
    check_energy(&format!("{fees}{kind}{summer}"), &hours, 1.132 * 288.0 * 0.134);
    check_energy(
        &format!("{kind}{summer}"),
        &june,
        200.0 * 0.12 + 50.0 * 0.2146 + 250.0 * 0.12,
    );
    // a month from the 25th to the 24th: the 250 kWh of 20 July follow those of 26 June
    let late = [("2026-06-26T10", 250.0), ("2026-07-20T10", 250.0)];
    let read = format!("billing_day = 25\n{kind}{}", rows(["200", "400"], ""));
    check_energy(&read, &late, 200.0 * 0.12 + 200.0 * 0.2146 + 100.0 * 0.3073);
}

#[test]
fn quantities_that_say_nothing_or_leave_a_gap_are_refused() {
    let rows = [
        (FREE.replace("beyond = \"0.38 EUR/kWh\"\n", ""), "needs `beyond`"),
        (FREE.replace("up_to = \"50 kWh\"\n", ""), "says nothing without `up_to`"),
        (FREE.replace("50 kWh", "0 kWh"), "above 0"),
        (
            format!("{FREE}up_to = \"5 kWh\"\nbeyond = \"0.4 EUR/kWh\"\n"),
            "only one row",
        ),
        (
            "[tariff.import]\nkind = \"blocks\"\n[[tariff.import.block]]\nmonths = [7, 8]\nprice = \"0.1 EUR/kWh\"\n"
                .into(),
            "look at month 1",
        ),
    ];
    for (tariff, part) in rows {
        let why = plant(&format!("[tariff]\ncurrency = \"EUR\"\n{tariff}")).unwrap_err();
        assert!(why.contains(part), "{tariff}: {why}");
    }
}
