//! Plays a recorded series in place of the twin's own load or PV.

use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// Values held over their step; short gaps are interpolated, long ones take the week before, then the day before.
#[derive(Debug, Clone)]
pub struct Played {
    step: TimeDelta,
    values: BTreeMap<Timestamp, f64>,
}

impl Played {
    /// Reads one numeric column of a CSV whose first column is `ts_utc`.
    pub fn parse(text: &str, column: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate();
        let (_, header) = lines.next().ok_or("the series file is empty")?;
        let columns: Vec<&str> = header.split(',').map(str::trim).collect();
        let at = columns.iter().position(|c| *c == column);
        let at = at.ok_or_else(|| format!("there is no column `{column}`; there are {}", columns.join(", ")))?;
        let mut values = BTreeMap::new();
        let mut stamps = Vec::new();
        for (i, line) in lines.filter(|(_, l)| !l.trim().is_empty()) {
            let cells: Vec<&str> = line.split(',').map(str::trim).collect();
            let t = chrono::DateTime::parse_from_rfc3339(cells[0])
                .map_err(|_| format!("line {}: `{}` is not an instant", i + 1, cells[0]))?
                .to_utc();
            stamps.push(t);
            if let Some(cell) = cells.get(at).filter(|c| !c.is_empty()) {
                let v: f64 = cell
                    .parse()
                    .map_err(|_| format!("line {}: `{cell}` is not a number", i + 1))?;
                values.insert(t, v);
            }
        }
        let step = stamps
            .windows(2)
            .map(|w| w[1] - w[0])
            .min()
            .filter(|d| *d > TimeDelta::zero());
        Ok(Self {
            step: step.ok_or("a series needs at least two rising rows")?,
            values,
        })
    }

    /// The value at `t`; `None` where nothing near is known.
    pub fn at(&self, t: Timestamp) -> Option<f64> {
        let (before_t, before) = self.values.range(..=t).next_back()?;
        if t < *before_t + self.step {
            return Some(*before);
        }
        let after = self.values.range(t..).next();
        match after {
            Some((after_t, after)) if *after_t - *before_t <= TimeDelta::hours(2) => {
                let share = (t - *before_t).as_seconds_f64() / (*after_t - *before_t).as_seconds_f64();
                Some(before + (after - before) * share)
            }
            _ => [7, 1].into_iter().find_map(|d| self.held(t - TimeDelta::days(d))),
        }
    }

    fn held(&self, t: Timestamp) -> Option<f64> {
        let (start, v) = self.values.range(..=t).next_back()?;
        (t < *start + self.step).then_some(*v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_bridged_short_and_borrowed_long() {
        let row = |h: i64, v: &str| {
            format!(
                "{},{v}\n",
                (chrono::DateTime::UNIX_EPOCH + TimeDelta::hours(h)).format("%Y-%m-%dT%H:%M:%SZ")
            )
        };
        let text: String = (0..40)
            .map(|h| row(h, if h == 3 || (20..30).contains(&h) { "" } else { "2" }))
            .collect();
        let text = text.replacen("T04:00:00Z,2", "T04:00:00Z,4", 1);
        let p = Played::parse(&format!("ts_utc,load_kw\n{text}"), "load_kw").unwrap();
        let at = |h: f64| p.at(chrono::DateTime::UNIX_EPOCH + TimeDelta::seconds((h * 3600.0) as i64));
        assert_eq!(at(1.5), Some(2.0));
        assert_eq!(at(3.0), Some(3.0));
        assert_eq!(at(26.0), Some(2.0));
        assert!(
            Played::parse("ts_utc,a\n", "b")
                .unwrap_err()
                .contains("there are ts_utc, a")
        );
    }
}
