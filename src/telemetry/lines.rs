//! Stored instants as line protocol: one line a kind and component, all their fields, an explicit stamp.

use crate::cycle::{Tick, split_key};
use influxdb2::models::{DataPoint, WriteDataPoint};
use std::collections::BTreeMap;

/// Field names and values of one line.
type Fields<'a> = Vec<(&'a str, f64)>;

/// Appends a tick's lines to `body`; returns how many values went in. What line protocol cannot carry safely (names with
/// control characters or a backslash, values that are not finite) is left out.
pub fn append(body: &mut Vec<u8>, site: &str, tick: &Tick) -> usize {
    let mut groups: BTreeMap<(&str, Option<&str>), Fields<'_>> = BTreeMap::new();
    for (key, value) in &tick.values {
        match split_key(key) {
            Some((kind, field, component)) if value.is_finite() && component.is_none_or(is_safe) => {
                groups.entry((kind, component)).or_default().push((field, *value));
            }
            _ => {}
        }
    }
    let stamp = tick.at.timestamp_millis();
    let lines = groups.into_iter().filter_map(|((kind, component), fields)| {
        let count = fields.len();
        let point = point(site, kind, component, fields, stamp)?;
        // Writing to memory cannot fail.
        point.write_data_point_to(&mut *body).ok().map(|()| count)
    });
    lines.sum()
}

fn point(site: &str, kind: &str, component: Option<&str>, fields: Fields<'_>, stamp: i64) -> Option<DataPoint> {
    let mut builder = DataPoint::builder(format!("madang_{kind}")).tag("site", site);
    if let Some(component) = component {
        builder = builder.tag("component", component);
    }
    for (field, value) in fields {
        builder = builder.field(field, value);
    }
    builder.timestamp(stamp).build().ok()
}

/// A tag value that needs no escape the client does not know.
pub fn is_safe(name: &str) -> bool {
    !name.is_empty() && !name.contains('\\') && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[(&str, f64)], expected: &str) {
        let tick = Tick {
            at: chrono::DateTime::from_timestamp_millis(1_500).unwrap(),
            values: values.iter().map(|(k, v)| ((*k).into(), *v)).collect(),
        };
        let mut body = Vec::new();
        append(&mut body, "home", &tick);
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }

    #[test]
    fn one_component_is_one_line_with_all_its_fields() {
        check(
            &[
                ("battery.active_power_watts.bat", -3.5),
                ("battery.state_of_charge_ratio.bat", 0.5),
            ],
            "madang_battery,component=bat,site=home active_power_watts=-3.5,state_of_charge_ratio=0.5 1500\n",
        );
    }

    #[test]
    fn what_would_break_a_line_is_left_out() {
        check(&[("day.cost", f64::NAN)], "");
        check(&[("pv.up.a\nb", 1.0), ("pv.up.c\\", 1.0), ("nothing", 1.0)], "");
        check(&[("day.cost", 2.0)], "madang_day,site=home cost=2 1500\n");
    }
}
