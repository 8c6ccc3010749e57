//! Limits at the connection point that somebody ordered. They compose by intersection: the tightest in force holds, beside
//! the site's own, and no order lifts another. Only ending one (or its time) makes room again.

use super::people::Direction;
use crate::site::Plant;
use crate::time::Timestamp;
use crate::units::Power;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// Who ordered a limit: `person`, `operator`, and any other name that a protocol or a contact is given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Source(String);

/// Sources whose order comes first where two limits are equally tight; others stand between these and `person`.
const RANKED: [&str; 4] = ["utility", "ripple", "openadr", "operator"];

impl Source {
    /// Who says nothing of whom he speaks for.
    pub fn person() -> Self {
        Self("person".into())
    }

    /// # Errors
    /// A name that is not 1 to 32 of `a`–`z`, `0`–`9` and `-`, or that means the site file itself.
    pub fn parse(name: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
            return Err(format!(
                "`{name}` is not a source; write a short name of small letters, such as person, operator or utility"
            ));
        }
        if name == "site" {
            return Err("the site's own limits stand in its file; no order changes them".into());
        }
        Ok(Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// 0 comes first.
    pub fn priority(&self) -> usize {
        let ranked = RANKED.iter().position(|r| *r == self.0);
        ranked.unwrap_or(RANKED.len() + usize::from(*self == Self::person()))
    }
}

/// One order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExternalLimit {
    pub source: Source,
    pub direction: Direction,
    /// Magnitude, ≥ 0.
    pub power: Power,
    pub until: Timestamp,
    /// `None` in journals of before limits had a source.
    pub said_at: Option<Timestamp>,
}

/// Most orders kept at a time: far more than a site has sources.
const MOST: usize = 64;

/// All orders that have not ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Limits(Vec<ExternalLimit>);

impl Limits {
    /// Takes an order. Of the same source and direction it makes those superfluous that are no tighter and last no longer;
    /// one that is superfluous itself changes nothing.
    ///
    /// # Errors
    /// Where too many are kept already.
    pub fn tell(&mut self, new: ExternalLimit) -> Result<(), String> {
        let same = |l: &ExternalLimit| l.source == new.source && l.direction == new.direction;
        if self
            .0
            .iter()
            .any(|l| same(l) && l.power <= new.power && l.until >= new.until)
        {
            return Ok(());
        }
        self.0
            .retain(|l| !(same(l) && l.power >= new.power && l.until <= new.until));
        if self.0.len() >= MOST {
            return Err(format!("{MOST} limits are kept already; end some first"));
        }
        self.0.push(new);
        Ok(())
    }

    /// Ends all of a source in one direction; false where there is none.
    pub fn end(&mut self, source: &Source, direction: Direction) -> bool {
        let before = self.0.len();
        self.0.retain(|l| l.source != *source || l.direction != direction);
        before != self.0.len()
    }

    /// Drops what is over; true where something was.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let before = self.0.len();
        self.0.retain(|l| l.until > now);
        before != self.0.len()
    }

    /// The one that holds at an instant.
    pub fn tightest(&self, direction: Direction, at: Timestamp) -> Option<&ExternalLimit> {
        let in_force = self.0.iter().filter(|l| l.direction == direction && l.until > at);
        in_force.min_by(|a, b| {
            let power = a.power.as_kw().total_cmp(&b.power.as_kw());
            power.then(a.source.priority().cmp(&b.source.priority()))
        })
    }

    /// What may flow at an instant, kW, where the site itself allows `own`.
    pub fn most_kw(&self, direction: Direction, own: f64, at: Timestamp) -> f64 {
        let told = self.tightest(direction, at).map(|l| l.power.as_kw().max(0.0));
        told.map_or(own, |kw| own.min(kw))
    }

    pub fn iter(&self) -> impl Iterator<Item = &ExternalLimit> {
        self.0.iter()
    }
}

impl FromIterator<ExternalLimit> for Limits {
    fn from_iter<I: IntoIterator<Item = ExternalLimit>>(all: I) -> Self {
        Self(all.into_iter().take(MOST).collect())
    }
}

/// What the connection point itself allows, kW: the contract, or the fuse where that is less. `None` on an island.
pub fn own_limit(plant: &Plant, direction: Direction) -> Option<f64> {
    let c = plant.connection.as_ref()?;
    let fuse = plant.phases() as f64 * c.fuse.as_amps() * plant.volts() / 1e3;
    let told = match direction {
        Direction::Import => c.import_max,
        Direction::Export => c.export_max,
    };
    Some(told.as_kw().min(fuse))
}

/// Journals of before limits had a source hold one by direction.
#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    List(Vec<ExternalLimit>),
    ByDirection(BTreeMap<Direction, Unsigned>),
}

#[derive(Deserialize)]
struct Unsigned {
    power: Power,
    until: Timestamp,
}

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match Form::deserialize(from)? {
            Form::List(all) => all.into_iter().collect(),
            Form::ByDirection(map) => {
                let signed = |(direction, l): (Direction, Unsigned)| ExternalLimit {
                    source: Source::person(),
                    direction,
                    power: l.power,
                    until: l.until,
                    said_at: None,
                };
                map.into_iter().map(signed).collect()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta};

    const START: Timestamp = DateTime::UNIX_EPOCH;

    fn limit(source: &str, kw: f64, hours: i64) -> ExternalLimit {
        ExternalLimit {
            source: Source::parse(source).unwrap(),
            direction: Direction::Import,
            power: Power::kw(kw),
            until: START + TimeDelta::hours(hours),
            said_at: Some(START),
        }
    }

    fn held(limits: &Limits, hours: i64) -> f64 {
        limits.most_kw(Direction::Import, 8.0, START + TimeDelta::hours(hours))
    }

    #[test]
    fn no_order_lifts_another_whoever_gives_it() {
        let mut limits = Limits::default();
        for (source, kw, hours) in [("operator", 5.0, 3), ("person", 500.0, 5), ("operator", 6.0, 4)] {
            limits.tell(limit(source, kw, hours)).unwrap();
        }
        assert_eq!([0, 3, 4, 5].map(|h| held(&limits, h)), [5.0, 6.0, 8.0, 8.0]);
        assert!(!limits.end(&Source::parse("utility").unwrap(), Direction::Import));
        assert!(limits.end(&Source::parse("operator").unwrap(), Direction::Import));
        assert_eq!(held(&limits, 0), 8.0, "the site's own is always in force");
        assert!(!limits.expire(START + TimeDelta::hours(4)) && limits.expire(START + TimeDelta::hours(5)));
        assert_eq!(limits.iter().count(), 0);
    }

    #[test]
    fn a_source_renews_its_own_and_the_list_is_bounded() {
        let mut limits = Limits::default();
        for hours in 1..200 {
            limits.tell(limit("openadr", 4.0, hours)).unwrap();
        }
        assert_eq!(limits.iter().count(), 1);
        let many = (1..200).map(|n| limits.tell(limit("openadr", 4.0 + f64::from(n), 200 + i64::from(n))));
        assert!(many.filter(Result::is_err).count() > 100);
        assert!(limits.iter().count() <= MOST);
    }

    #[test]
    fn of_equal_limits_the_one_of_the_higher_source_is_named() {
        let limits: Limits = ["person", "ripple", "third-party"]
            .map(|s| limit(s, 4.0, 2))
            .into_iter()
            .collect();
        assert_eq!(
            limits.tightest(Direction::Import, START).unwrap().source.as_str(),
            "ripple"
        );
    }

    #[test]
    fn journals_of_both_forms_are_read() {
        let old = r#"{"import":{"power":4.2,"until":"1970-01-01T02:00:00Z"}}"#;
        let limits: Limits = serde_json::from_str(old).unwrap();
        assert_eq!((held(&limits, 1), held(&limits, 2)), (4.2, 8.0));
        let again: Limits = serde_json::from_str(&serde_json::to_string(&limits).unwrap()).unwrap();
        assert_eq!(again, limits);
        assert_eq!(serde_json::from_str::<Limits>("{}").unwrap(), Limits::default());
    }

    #[test]
    fn a_source_has_a_plain_name() {
        assert!(Source::parse("openadr-3").is_ok());
        for bad in ["", "Site", "site", "a b", &"x".repeat(33)] {
            assert!(Source::parse(bad).is_err(), "{bad}");
        }
    }
}
