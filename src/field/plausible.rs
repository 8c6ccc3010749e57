//! Whether what was read by a profile can be what the profile says: for devices that carry no identity.
//!
//! In: decoded points of a map. Out: evidence for (points) or a contradiction in words. A register that is zero or missing
//! says nothing; a value that cannot be says that it is another device (or another word order, table or scale).

use super::map::{Value, Values};

/// Phase and line voltages of low-voltage grids, V.
const PHASE: std::ops::RangeInclusive<f64> = 80.0..=300.0;
const LINE: std::ops::RangeInclusive<f64> = 140.0..=520.0;
const HERTZ: std::ops::RangeInclusive<f64> = 45.0..=65.0;
/// No device behind one Modbus address moves more than this, kW or kVA.
const MOST_KW: f64 = 5_000.0;
/// No counter has counted more, kWh.
const MOST_KWH: f64 = 1e9;
/// Powers below this are too small to compare, kW.
const LEAST_KW: f64 = 0.05;

/// What the points say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Weight of what fits.
    pub points: u32,
    /// What fits, in words.
    pub fits: Vec<String>,
}

/// Evidence for the map, or the first thing that cannot be.
pub fn weigh(values: &Values) -> Result<Evidence, String> {
    let mut evidence = Evidence {
        points: 0,
        fits: Vec::new(),
    };
    for (name, value) in values {
        match value {
            Value::Number(n) => one(name, *n, &mut evidence)?,
            Value::Text(text) | Value::State(_, text) => word(name, text, &mut evidence)?,
            Value::Invalid => return Err(format!("{name} is out of its range")),
            Value::Missing => {}
        }
    }
    sums(values, &mut evidence)?;
    Ok(evidence)
}

fn one(name: &str, n: f64, evidence: &mut Evidence) -> Result<(), String> {
    if n == 0.0 {
        return Ok(());
    }
    let (fits, weight) = if name.starts_with("voltage_l12") || name == "voltage_l23" || name == "voltage_l31" {
        (LINE.contains(&n), 2)
    } else if name.starts_with("voltage_l") {
        (PHASE.contains(&n), 2)
    } else if name == "frequency" {
        (HERTZ.contains(&n), 3)
    } else if name.starts_with("energy") || name.ends_with("_energy") {
        ((0.0..MOST_KWH).contains(&n), 1)
    } else if name == "soc" || name == "soh" {
        ((0.0..=100.0).contains(&n), 2)
    } else if name.contains("power_factor") {
        ((-1.001..=1.001).contains(&n), 1)
    } else if name.contains("power") {
        (n.abs() < MOST_KW, 0)
    } else {
        return Ok(());
    };
    if !fits {
        return Err(format!("{name} would be {n:.4}"));
    }
    // Values as small as the noise of a wrong type are no evidence.
    if weight > 0 && n.abs() > 1e-3 {
        evidence.points += weight;
        evidence.fits.push(name.to_owned());
    }
    Ok(())
}

/// States are words the profile knows; a charger's begins with a letter of IEC 61851.
fn word(name: &str, text: &str, evidence: &mut Evidence) -> Result<(), String> {
    let clean = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if name == "evse_state" {
        let letter = text.trim().chars().next();
        if !letter.is_some_and(|c| ('A'..='F').contains(&c)) {
            return Err(format!("{name} would be `{}`", text.escape_default()));
        }
        evidence.points += 3;
        evidence.fits.push(name.to_owned());
    } else if !text.is_empty() && !clean {
        return Err(format!("{name} is no text"));
    }
    Ok(())
}

/// The phases add up to the total, and power is not more than voltage times current.
fn sums(values: &Values, evidence: &mut Evidence) -> Result<(), String> {
    let number = |name: &str| values.get(name).and_then(Value::number);
    let phases: Option<f64> = ["active_power_l1", "active_power_l2", "active_power_l3"]
        .iter()
        .map(|n| number(n))
        .sum();
    let total = number("active_power").or_else(|| number("evse_power"));
    if let Some((sum, total)) = phases.zip(total)
        && (sum.abs() > LEAST_KW || total.abs() > LEAST_KW)
    {
        if (sum - total).abs() > 0.03 * sum.abs().max(total.abs()) + LEAST_KW {
            return Err(format!(
                "the phases add up to {sum:.3} kW, the total says {total:.3} kW"
            ));
        }
        evidence.points += 3;
        evidence.fits.push("L1 + L2 + L3 = total".into());
    }
    if let (Some(v), Some(a), Some(p)) = (number("voltage_l1"), number("current_l1"), number("active_power_l1"))
        && v > 0.0
        && p.abs() > LEAST_KW
    {
        let apparent = v * a.abs() / 1e3;
        if p.abs() > 1.1 * apparent + LEAST_KW {
            return Err(format!("{p:.3} kW at {v:.1} V and {a:.2} A"));
        }
        evidence.points += 2;
        evidence.fits.push("power ≤ voltage × current".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(list: &[(&str, f64)]) -> Values {
        list.iter().map(|(n, v)| ((*n).to_owned(), Value::Number(*v))).collect()
    }

    #[test]
    fn what_cannot_be_is_named_and_zeros_say_nothing() {
        for (list, expected) in [
            (vec![("voltage_l1", 2315.0)], "voltage_l1"),
            (vec![("frequency", 500.9)], "frequency"),
            (vec![("energy_import", -3.0)], "energy_import"),
            (
                vec![
                    ("active_power_l1", 1.0),
                    ("active_power_l2", 1.0),
                    ("active_power_l3", 1.0),
                    ("active_power", 2.0),
                ],
                "add up",
            ),
            (
                vec![("voltage_l1", 230.0), ("current_l1", 1.0), ("active_power_l1", 3.0)],
                "kW at",
            ),
        ] {
            let why = weigh(&values(&list)).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        let zeros = weigh(&values(&[
            ("voltage_l1", 0.0),
            ("frequency", 0.0),
            ("active_power", 0.0),
        ]))
        .unwrap();
        assert_eq!(zeros.points, 0);
    }

    #[test]
    fn a_healthy_meter_has_much_evidence() {
        let found = weigh(&values(&[
            ("voltage_l1", 231.0),
            ("frequency", 49.98),
            ("active_power_l1", 0.4),
            ("active_power_l2", 0.5),
            ("active_power_l3", 0.1),
            ("active_power", 1.01),
            ("energy_import", 1234.0),
        ]))
        .unwrap();
        assert!(found.points >= 8, "{found:?}");
    }
}
