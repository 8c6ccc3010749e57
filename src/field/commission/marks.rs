//! The tests themselves, one a conformance mark, in an order in which each step is small and follows from the last.

use super::Outcome;
use super::Plan;
use super::run::{LOOK, Run};
use crate::field::client::WireError;
use crate::field::map::Value;
use crate::profile::Wear;
use tokio::time::{Instant, sleep};

impl Run<'_> {
    /// All marks, in an order in which each step is small and follows from the last.
    pub(super) async fn steps(&mut self) -> Result<(), WireError> {
        let before = self.see().await?.unwrap_or(f64::NAN);
        let grid = self.bench.grid(self.plan).await;
        if self.sheet.is_limit && before.abs() < 0.05 * self.plan.rating {
            self.find(
                "sign",
                Outcome::NotTried,
                format!("it generates only {before:.3} kW: come back in sunshine"),
            );
            return Ok(());
        }
        let size = self.size(before);
        if !self.sign_and_scale(size, before, grid).await? {
            // Who turns the wrong way, or a thousandfold, is not asked for more.
            return Ok(());
        }
        self.limits(before).await?;
        self.hold().await?;
        self.clipping().await?;
        self.wear();
        self.reversion(size, before).await?;
        self.foreign(size).await
    }

    /// The known step: a tenth of the rating, at least what can be seen; for a limit half of what is generated.
    fn size(&self, before: f64) -> f64 {
        let size = match (self.sheet.is_limit, self.sheet.unit) {
            (true, _) => before / 2.0,
            (false, "A") => (0.5 * self.plan.rating).max(6.0),
            (false, _) => (0.1 * self.plan.rating)
                .max(4.0 * self.sheet.near)
                .max(self.sheet.smallest * self.plan.rating),
        };
        size.min(self.plan.most)
    }

    async fn sign_and_scale(&mut self, size: f64, before: f64, grid: Option<f64>) -> Result<bool, WireError> {
        let up = match self.step(size).await? {
            Ok(seen) => seen,
            Err(why) => return Ok(self.judge("sign", false, why)),
        };
        let mut said = self.said(size, up.0, up.1);
        let mut turns = up.0 > 0.3 * size;
        if let (Some(was), Some(is)) = (grid, self.bench.grid(self.plan).await) {
            let moved = (is - was) * self.sheet.factor;
            let expected = up.0 - before;
            said += &format!("; the meter moved by {:+.3} kW", is - was);
            // Small moves drown in the household's own.
            turns &= self.sheet.unit != "kW" || expected.abs() < 0.2 || moved * expected > 0.0;
        }
        let mut fits = self.obeys(up.0, size) && up.0 > 0.5 * size;
        if self.sheet.both_ways {
            match self.step(-size).await? {
                Ok(down) => {
                    said += &format!("; {}", self.said(-size, down.0, down.1));
                    turns &= down.0 < -0.3 * size;
                    fits &= self.obeys(down.0, -size);
                }
                Err(why) => return Ok(self.judge("sign", false, why)),
            }
        }
        let sign = self.sign(turns, said.clone()).await?;
        Ok(self.judge("scale", fits, said) && sign)
    }

    /// A charger's limit has no sign of its own: a car must be charging to show one.
    async fn sign(&mut self, turns: bool, said: String) -> Result<bool, WireError> {
        if self.sheet.unit != "A" {
            return Ok(self.judge("sign", turns, said));
        }
        let values = self.bench.values(self.plan).await?;
        let power = values.get("evse_power").and_then(Value::number);
        match power.filter(|kw| kw.abs() > 0.1) {
            Some(kw) => Ok(self.judge("sign", kw > 0.0, format!("a charging car shows as {kw:.3} kW"))),
            None => {
                self.find("sign", Outcome::NotTried, "no car is charging");
                Ok(true)
            }
        }
    }

    /// Zero, the smallest step, the largest value.
    async fn limits(&mut self, before: f64) -> Result<(), WireError> {
        self.limit("limit_zero", 0.0, self.sheet.near).await?;
        let smallest = if self.sheet.unit == "A" {
            6.0
        } else {
            self.sheet.smallest * self.plan.rating
        };
        // Zero must not pass for the smallest step.
        let near = self.tolerance(smallest).min(0.5 * smallest).max(0.4 * self.sheet.near);
        if near < smallest && smallest <= self.plan.most {
            self.limit("limit_one", smallest, near).await?;
        } else {
            self.find(
                "limit_one",
                Outcome::NotTried,
                "the smallest step is too small to see, or beyond what may be asked",
            );
        }
        if self.plan.most < self.plan.rating {
            let (most, rating, unit) = (self.plan.most, self.plan.rating, self.sheet.unit);
            let why = format!("the rating is {rating} {unit}, but only {most} {unit} may be asked (--max-power)");
            self.find("limit_full", Outcome::NotTried, why);
            return Ok(());
        }
        let full = self.plan.rating;
        match self.step(full).await? {
            Ok((seen, took)) => {
                let reached = if self.sheet.is_limit {
                    seen >= 0.7 * before
                } else {
                    self.obeys(seen, full)
                };
                let said = self.said(full, seen, took);
                self.judge("limit_full", reached, said);
            }
            Err(why) => {
                self.judge("limit_full", false, why);
            }
        }
        Ok(())
    }

    async fn limit(&mut self, test: &str, value: f64, near: f64) -> Result<(), WireError> {
        match self.step_within(value, near).await? {
            Ok((seen, took)) => {
                let good = self.is_within(seen, value, near);
                let said = self.said(value, seen, took);
                self.judge(test, good, said);
            }
            Err(why) => {
                self.judge(test, false, why);
            }
        }
        Ok(())
    }

    /// Zero is kept while it is refreshed: neither charges nor discharges.
    async fn hold(&mut self) -> Result<(), WireError> {
        if let Err(why) = self.step(0.0).await? {
            self.judge("hold", false, why);
            return Ok(());
        }
        let (begun, mut worst, mut looks) = (Instant::now(), 0.0f64, 0);
        while begun.elapsed() < self.plan.hold {
            sleep(LOOK).await;
            if let Some(n) = self.see().await? {
                let over = if self.sheet.is_limit { n.max(0.0) } else { n.abs() };
                worst = worst.max(over);
                looks += 1;
            }
            if let Err(why) = self.bench.refresh(self.plan).await {
                self.judge("hold", false, why);
                return Ok(());
            }
        }
        let (seconds, unit) = (self.plan.hold.as_secs(), self.sheet.unit);
        let said = format!("zero for {seconds} s: at most {worst:.3} {unit} in {looks} looks");
        self.judge("hold", looks > 0 && worst <= 2.0 * self.sheet.near, said);
        Ok(())
    }

    /// More than the rating is clipped, by us or by the device, and never wraps.
    async fn clipping(&mut self) -> Result<(), WireError> {
        let (rating, unit) = (self.plan.rating, self.sheet.unit);
        let asked = 1.2 * rating;
        if self.plan.most < rating {
            self.find(
                "clipping",
                Outcome::NotTried,
                "only as much as --max-power allows may be asked",
            );
            return Ok(());
        }
        let wide = Plan {
            most: asked,
            ..self.plan.clone()
        };
        (self.told)(&format!("          asking {asked:.3} {unit}, more than it can"));
        match self.bench.tell(&wide, asked).await {
            Err(why) => {
                self.judge("clipping", true, format!("{asked:.3} {unit} was refused: {why}"));
            }
            Ok(()) => {
                let begun = Instant::now();
                let mut seen = f64::NAN;
                while begun.elapsed() < self.plan.patience {
                    sleep(LOOK).await;
                    seen = self.see().await?.unwrap_or(seen);
                }
                let good = seen >= -self.sheet.near && seen <= rating + self.tolerance(rating);
                self.judge(
                    "clipping",
                    good,
                    format!("asked {asked:.3} {unit} of {rating} {unit}, seen {seen:.3} {unit}"),
                );
            }
        }
        Ok(())
    }

    /// Wear cannot be measured; only what the profile states with its source counts.
    fn wear(&mut self) {
        let program = self.bench.device.compile(&self.plan.command, 0.0);
        match program.map(|p| p.wear) {
            Ok(Wear::Ram) => self.find("wear", Outcome::Passed, "the profile says that these registers are RAM"),
            Ok(Wear::Nonvolatile) => {
                let said = "the profile says that they wear: written on change only, within a daily budget";
                self.find("wear", Outcome::Passed, said);
            }
            _ => self.find(
                "wear",
                Outcome::NotTried,
                "nobody says whether these registers wear: ask the manufacturer",
            ),
        }
    }

    /// Falls back by itself when nobody speaks.
    async fn reversion(&mut self, size: f64, before: f64) -> Result<(), WireError> {
        let Some(patience) = self.plan.reversion else {
            self.find("reversion", Outcome::NotTried, "--reversion waits for it");
            return Ok(());
        };
        let step = self.far(size, before);
        if let Err(why) = self.step(step).await? {
            self.judge("reversion", false, why);
            return Ok(());
        }
        (self.told)(&format!("          saying nothing for up to {} s", patience.as_secs()));
        let begun = Instant::now();
        while begun.elapsed() < patience {
            sleep(LOOK).await;
            let seen = self.see().await?;
            if seen.is_some_and(|n| !self.obeys(n, step) && (n - step).abs() > 0.3 * step.abs()) {
                let after = begun.elapsed().as_secs_f64();
                let said = format!(
                    "left {step:.3} {} by itself after {after:.0} s of silence",
                    self.sheet.unit
                );
                self.judge("reversion", true, said);
                return Ok(());
            }
        }
        let said = format!(
            "still at {step:.3} {} after {} s of silence",
            self.sheet.unit,
            patience.as_secs()
        );
        self.judge("reversion", false, said);
        Ok(())
    }

    /// A value that the device does not choose by itself.
    fn far(&self, size: f64, before: f64) -> f64 {
        let step = size.max(0.3 * self.plan.most);
        match (self.sheet.is_limit, self.sheet.both_ways) {
            (true, _) => 0.3 * size,
            (false, true) if before > 0.0 => -step,
            _ => step,
        }
    }

    /// Somebody else's write is seen in what the point shows.
    async fn foreign(&mut self, size: f64) -> Result<(), WireError> {
        let Some(patience) = self.plan.foreign else {
            self.find(
                "foreign_mode",
                Outcome::NotTried,
                "--foreign waits for a change made with the vendor's app",
            );
            return Ok(());
        };
        if let Err(why) = self.step(size).await? {
            self.judge("foreign_mode", false, why);
            return Ok(());
        }
        (self.told)("          change its mode or power with the vendor's app now");
        let begun = Instant::now();
        while begun.elapsed() < patience {
            sleep(LOOK).await;
            let seen = self.see().await?;
            if let Some(n) = seen.filter(|n| (n - size).abs() > 0.3 * size.abs() + self.sheet.near) {
                let said = format!("asked {size:.3} {}, somebody else made it {n:.3}", self.sheet.unit);
                self.judge("foreign_mode", true, said);
                return Ok(());
            }
            if let Err(why) = self.bench.refresh(self.plan).await {
                self.judge("foreign_mode", false, why);
                return Ok(());
            }
        }
        self.find("foreign_mode", Outcome::NotTried, "nobody changed anything");
        Ok(())
    }
}
