//! One run of tests: looks before it writes, one small step at a time, and writes down what it saw.

use super::bench::Bench;
use super::sheet::Sheet;
use super::{Finding, Outcome, Plan, Told};
use crate::field::client::WireError;
use crate::field::map::{Value, Values};
use crate::field::plausible::weigh;
use crate::field::recognise::identity;
use crate::model::IdentityStatus;
use tokio::time::{Instant, sleep};

/// Time between two looks at the device.
pub(super) const LOOK: std::time::Duration = std::time::Duration::from_millis(500);

/// A run of tests.
pub(super) struct Run<'a> {
    pub(super) bench: &'a mut Bench,
    pub(super) plan: &'a Plan,
    pub(super) sheet: Sheet,
    pub(super) told: Told<'a>,
    pub(super) findings: &'a mut Vec<Finding>,
}

impl Run<'_> {
    pub(super) fn find(&mut self, test: &str, outcome: Outcome, evidence: impl Into<String>) {
        let evidence = evidence.into();
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::NotTried => "not tried",
        };
        (self.told)(&format!("{word:<10}{test:<14}{evidence}"));
        self.findings.push(Finding {
            test: test.to_owned(),
            outcome,
            evidence,
        });
    }

    pub(super) fn judge(&mut self, test: &str, good: bool, evidence: String) -> bool {
        self.find(test, if good { Outcome::Passed } else { Outcome::Failed }, evidence);
        good
    }

    /// Who it is and whether what it shows can be; nothing is written before both are good.
    pub(super) async fn look(&mut self) -> Result<bool, WireError> {
        let values = self.bench.values(self.plan).await?;
        let device = &self.bench.device;
        let status = device.identity;
        if status == IdentityStatus::Mismatch {
            let why = device
                .trouble
                .as_ref()
                .map_or_else(|| "it is another device".into(), |t| t.en.clone());
            return Ok(self.judge("identity", false, why));
        }
        let word = if status == IdentityStatus::Confirmed {
            "confirmed"
        } else {
            "unchecked"
        };
        self.bench.identity = match device.identity_text() {
            Some(i) => serde_json::json!({"status": word, "manufacturer": i.manufacturer, "model": i.model,
                "version": i.version, "serial": i.serial}),
            None => identity(word, &values, &[]),
        };
        let said = |key: &str| self.bench.identity[key].as_str().map(str::to_owned);
        let parts = ["status", "manufacturer", "model", "version", "serial"]
            .into_iter()
            .filter_map(said);
        let who = parts.filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ");
        self.find("identity", Outcome::Passed, who);
        match weigh(&values) {
            Ok(e) if e.fits.is_empty() => self.find("readings", Outcome::Passed, "nothing contradicts"),
            Ok(e) => self.find("readings", Outcome::Passed, e.fits.join(", ")),
            Err(why) => return Ok(self.judge("readings", false, why)),
        }
        if self.shown(&values).is_none() {
            let points = self.sheet.points.join(" or ");
            return Ok(self.judge(
                "readings",
                false,
                format!("it shows no {points}: nothing to judge the command by"),
            ));
        }
        Ok(true)
    }

    /// The point the command moves, in the command's unit and sense.
    pub(super) fn shown(&self, values: &Values) -> Option<f64> {
        let first = self
            .sheet
            .points
            .iter()
            .find_map(|p| values.get(*p).and_then(Value::number));
        first.map(|n| n * self.sheet.factor)
    }

    pub(super) fn tolerance(&self, value: f64) -> f64 {
        self.sheet.near.max(0.05 * value.abs())
    }

    pub(super) async fn see(&mut self) -> Result<Option<f64>, WireError> {
        let values = self.bench.values(self.plan).await?;
        Ok(self.shown(&values))
    }

    /// Tells a value and looks until it shows or patience ends: what was seen last, and after how long.
    pub(super) async fn step(&mut self, value: f64) -> Result<Result<(f64, f64), String>, WireError> {
        self.step_within(value, self.tolerance(value)).await
    }

    pub(super) async fn step_within(&mut self, value: f64, near: f64) -> Result<Result<(f64, f64), String>, WireError> {
        (self.told)(&format!("          asking {value:.3} {}", self.sheet.unit));
        if let Err(why) = self.bench.tell(self.plan, value).await {
            return Ok(Err(why));
        }
        let begun = Instant::now();
        loop {
            sleep(LOOK).await;
            let seen = self.see().await?;
            let took = begun.elapsed();
            match seen {
                Some(n) if self.is_within(n, value, near) => return Ok(Ok((n, took.as_secs_f64()))),
                Some(n) if took >= self.plan.patience => return Ok(Ok((n, took.as_secs_f64()))),
                None if took >= self.plan.patience => return Ok(Err("the point it moves shows nothing".into())),
                _ => {}
            }
            if let Err(why) = self.bench.refresh(self.plan).await {
                return Ok(Err(why));
            }
        }
    }

    pub(super) fn obeys(&self, seen: f64, value: f64) -> bool {
        self.is_within(seen, value, self.tolerance(value))
    }

    /// A limit is obeyed by anything below it.
    pub(super) fn is_within(&self, seen: f64, value: f64, near: f64) -> bool {
        if self.sheet.is_limit {
            seen <= value + near
        } else {
            (seen - value).abs() <= near
        }
    }

    pub(super) fn said(&self, value: f64, seen: f64, took: f64) -> String {
        let unit = self.sheet.unit;
        format!("asked {value:.3} {unit}, seen {seen:.3} {unit} after {took:.1} s")
    }
}
