//! The terminal of a live controller: a block that is redrawn, or a line a minute where nobody watches.

use super::output;
use crate::cycle::CycleReport;
use crate::model::{Language, Rung, Seen};
use crate::site::{Id, Kind, Mode, Plant};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A terminal is redrawn no more often than this.
const REDRAW: Duration = Duration::from_millis(250);
/// Where nobody watches, a line this often (site time).
const LINE: TimeDelta = TimeDelta::minutes(1);
const WIDTH: usize = 80;

/// Shows what goes on.
pub struct Screen {
    terminal: bool,
    drawn: usize,
    drawn_at: Option<Instant>,
    line_at: Option<Timestamp>,
    rung: Option<Rung>,
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl Screen {
    pub fn new() -> Self {
        Self {
            terminal: std::io::stdout().is_terminal(),
            drawn: 0,
            drawn_at: None,
            line_at: None,
            rung: None,
        }
    }

    pub fn show(&mut self, plant: &Plant, report: &CycleReport) {
        if self.terminal {
            if self.drawn_at.is_none_or(|t| t.elapsed() >= REDRAW) {
                self.drawn_at = Some(Instant::now());
                self.redraw(&block(plant, report));
            }
            return;
        }
        let now = report.snapshot.at;
        // The clock may have been set back.
        let due = self.line_at.is_none_or(|t| (now - t).abs() >= LINE);
        if due || self.rung != Some(report.state.rung) {
            (self.line_at, self.rung) = (Some(now), Some(report.state.rung));
            output::out(&format!("{}\n", line(plant, report)));
        }
    }

    fn redraw(&mut self, lines: &[String]) {
        let up = if self.drawn > 0 {
            format!("\x1b[{}A", self.drawn)
        } else {
            String::new()
        };
        let text: String = lines.iter().map(|l| format!("\x1b[2K{l}\n")).collect();
        // A frame that found no room was not drawn: the next one goes up as far as the last one that was.
        if output::out(&format!("{up}{text}\x1b[J")) {
            self.drawn = lines.len();
        }
    }
}

/// One line with a time stamp, for logs.
fn line(plant: &Plant, report: &CycleReport) -> String {
    let (snapshot, state) = (&report.snapshot, &report.state);
    let mut parts = vec![local(plant, snapshot.at), rung(state.rung, state.mode).to_owned()];
    parts.extend(snapshot.grid.and_then(|g| g.usable()).map(|g| grid(g.as_kw())));
    for (id, c) in &plant.components {
        if let (Kind::Battery(_), Some(soc)) = (&c.kind, snapshot.soc(id)) {
            parts.push(format!("{id} {:.0} %", soc.as_ratio() * 100.0));
        }
    }
    parts.push(format!(
        "today {} {}",
        money(plant, state.today.costs.total()),
        plant.tariff.currency
    ));
    if !report.alarms.is_empty() {
        parts.push(format!(
            "{} alarm(s): {}",
            report.alarms.len(),
            report.alarms[0].text_en
        ));
    }
    parts.join("  ")
}

fn block(plant: &Plant, report: &CycleReport) -> Vec<String> {
    let (snapshot, state) = (&report.snapshot, &report.state);
    let mut lines = vec![
        cut(format!(
            "{}  {}  {}",
            local(plant, snapshot.at),
            plant.name,
            rung(state.rung, state.mode)
        )),
        cut(summary(plant, report)),
        String::new(),
    ];
    let shown: Vec<&Id> = plant
        .components
        .keys()
        .filter(|id| is_worth_showing(plant, report, id))
        .collect();
    let hidden = plant.components.len() - shown.len();
    lines.extend(shown.into_iter().map(|id| cut(component(plant, report, id))));
    if hidden > 0 {
        lines.push(format!("  and {hidden} more that rest"));
    }
    for alarm in report.alarms.iter().take(3) {
        lines.push(cut(format!("  ! {}", alarm.text_en)));
    }
    lines
}

/// Idle charge points of a garage would push everything else off the screen.
fn is_worth_showing(plant: &Plant, report: &CycleReport, id: &Id) -> bool {
    let many = plant
        .components
        .values()
        .filter(|c| matches!(c.kind, Kind::ChargePoint(_)))
        .count()
        > 3;
    let charger = plant
        .components
        .get(id)
        .is_some_and(|c| matches!(c.kind, Kind::ChargePoint(_)));
    !(many && charger) || report.snapshot.plugged(id) != Some(false)
}

fn summary(plant: &Plant, report: &CycleReport) -> String {
    let (state, counts) = (&report.state, &report.counts);
    let mut text = format!(
        "today {} {} (with storage at rest {})",
        money(plant, state.today.costs.total()),
        plant.tariff.currency,
        money(plant, state.today.baseline.total())
    );
    if let Some(ms) = counts.last_solve_ms {
        text += &format!("  {} plans, {ms:.0} ms", counts.plans);
    }
    text
}

fn component(plant: &Plant, report: &CycleReport, id: &Id) -> String {
    let Some(c) = plant.components.get(id) else {
        return String::new();
    };
    let kw = report.snapshot.power(id).map(|p| p.as_kw());
    let kw = kw.or_else(|| report.snapshot.residual_of(id, &c.kind));
    let doing = kw.map_or_else(|| "no value".to_owned(), |kw| doing(&c.kind, kw));
    let soc = report
        .snapshot
        .soc(id)
        .map_or_else(String::new, |s| format!(" {:.0} %", s.as_ratio() * 100.0));
    let seen = Seen {
        plant,
        snapshot: &report.snapshot,
        state: &report.state,
        setpoints: &report.setpoints,
        prices: report.prices.as_deref(),
    };
    let why = seen
        .now(id)
        .and_then(|now| now.because(Language::En))
        .unwrap_or_default();
    format!("  {:<14}{:<22}{why}", id.as_str(), format!("{doing}{soc}"))
}

/// What a component does, in words instead of signs.
fn doing(kind: &Kind, kw: f64) -> String {
    let size = format!("{:.1} kW", kw.abs());
    match (kind, kw) {
        (_, kw) if kw.abs() < 0.05 => "rests".into(),
        (Kind::Meter(_), _) => grid(kw),
        (Kind::Battery(_) | Kind::ChargePoint(_), kw) if kw > 0.0 => format!("charging {size}"),
        (Kind::Battery(_) | Kind::ChargePoint(_), _) => format!("discharging {size}"),
        (Kind::Pv(_) | Kind::Generator(_), _) => format!("makes {size}"),
        _ => format!("uses {size}"),
    }
}

fn grid(kw: f64) -> String {
    let size = kw.abs();
    if kw >= 0.0 {
        format!("import {size:.1} kW")
    } else {
        format!("export {size:.1} kW")
    }
}

fn rung(rung: Rung, mode: Mode) -> &'static str {
    match (rung, mode) {
        (Rung::Released, _) => "handed back to the devices",
        (_, Mode::Observe) => "observing (writes nothing)",
        (Rung::Normal, _) => "in control",
        (Rung::LastPlan, _) => "in control, on an older plan",
        (Rung::Rule, _) => "in control, by rule (no plan)",
        (Rung::Safe, _) => "safe setpoints",
    }
}

fn local(plant: &Plant, t: Timestamp) -> String {
    t.with_timezone(&plant.location.time_zone)
        .format("%Y-%m-%d %H:%M:%S")
        .to_string()
}

fn money(plant: &Plant, amount: f64) -> String {
    if plant.tariff.currency == "KRW" {
        format!("{amount:.0}")
    } else {
        format!("{amount:.2}")
    }
}

fn cut(text: String) -> String {
    if text.chars().count() <= WIDTH {
        return text;
    }
    let short: String = text.chars().take(WIDTH - 1).collect();
    format!("{short}…")
}
