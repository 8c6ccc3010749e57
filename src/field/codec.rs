//! Registers ↔ values: word order, types, sentinels; nothing ever wraps.

use crate::profile::{RegisterType, WordOrder};

/// A decoded register value before scaling.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    Number(f64),
    Text(String),
    /// The device says "not implemented", or the bits are no number.
    Missing,
}

/// High word first.
fn ordered(words: &[u16], order: WordOrder) -> Vec<u16> {
    match order {
        WordOrder::HiFirst => words.to_vec(),
        WordOrder::LoFirst => words.iter().rev().copied().collect(),
    }
}

fn unsigned(words: &[u16]) -> u64 {
    words.iter().fold(0, |sum, w| (sum << 16) | u64::from(*w))
}

/// Decodes one value; `nan` holds raw integers (bit patterns of floats) that mean "not implemented".
pub fn decode(type_: RegisterType, order: WordOrder, words: &[u16], nan: &[i128]) -> Raw {
    if type_ == RegisterType::Str {
        return text(words);
    }
    if type_.registers().is_none_or(|n| usize::from(n) != words.len()) {
        return Raw::Missing;
    }
    let bits = unsigned(&ordered(words, order));
    let integer = match type_ {
        RegisterType::U16 | RegisterType::U32 | RegisterType::U64 | RegisterType::Bits => Some(i128::from(bits)),
        RegisterType::I16 => Some(i128::from(bits as u16 as i16)),
        RegisterType::I32 => Some(i128::from(bits as u32 as i32)),
        RegisterType::I64 => Some(i128::from(bits as i64)),
        RegisterType::F32 | RegisterType::F64 | RegisterType::Str => None,
    };
    match integer {
        Some(n) if nan.contains(&n) => Raw::Missing,
        Some(n) => Raw::Number(n as f64),
        None if nan.contains(&i128::from(bits)) => Raw::Missing,
        None => {
            let value = if type_ == RegisterType::F32 {
                f64::from(f32::from_bits(bits as u32))
            } else {
                f64::from_bits(bits)
            };
            if value.is_finite() {
                Raw::Number(value)
            } else {
                Raw::Missing
            }
        }
    }
}

fn text(words: &[u16]) -> Raw {
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    if end == 0 {
        Raw::Missing
    } else {
        Raw::Text(String::from_utf8_lossy(&bytes[..end]).trim().to_owned())
    }
}

/// Encodes a raw number; a value that does not fit is refused, never wrapped or clipped.
pub fn encode(type_: RegisterType, order: WordOrder, raw: f64) -> Result<Vec<u16>, String> {
    if !raw.is_finite() {
        return Err(format!("{raw} is not a number"));
    }
    let n = raw.round();
    let fits = |low: f64, high: f64| {
        if (low..=high).contains(&n) {
            Ok(())
        } else {
            Err(format!("{n} does not fit into {type_:?}"))
        }
    };
    let (bits, count) = match type_ {
        RegisterType::U16 | RegisterType::Bits => fits(0.0, 65_535.0).map(|()| (n as u64, 1))?,
        RegisterType::I16 => fits(-32_768.0, 32_767.0).map(|()| (u64::from(n as i16 as u16), 1))?,
        RegisterType::U32 => fits(0.0, 4_294_967_295.0).map(|()| (n as u64, 2))?,
        RegisterType::I32 => fits(-2_147_483_648.0, 2_147_483_647.0).map(|()| (u64::from(n as i32 as u32), 2))?,
        RegisterType::U64 => fits(0.0, 9.007e15).map(|()| (n as u64, 4))?,
        RegisterType::I64 => fits(-9.007e15, 9.007e15).map(|()| (n as i64 as u64, 4))?,
        RegisterType::F32 => (u64::from((raw as f32).to_bits()), 2),
        RegisterType::F64 => (raw.to_bits(), 4),
        RegisterType::Str => return Err("text cannot be written".into()),
    };
    let words: Vec<u16> = (0..count).rev().map(|i| (bits >> (16 * i)) as u16).collect();
    Ok(ordered(&words, order))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sentinels_are_missing_and_negative_numbers_never_become_large_ones() {
        let hi = WordOrder::HiFirst;
        assert_eq!(decode(RegisterType::I16, hi, &[0x8000], &[-32_768]), Raw::Missing);
        assert_eq!(
            decode(RegisterType::U32, hi, &[0xFFFF, 0xFFFF], &[0xFFFF_FFFF]),
            Raw::Missing
        );
        assert_eq!(decode(RegisterType::F32, hi, &[0x7FC0, 0], &[]), Raw::Missing);
        assert_eq!(
            decode(RegisterType::I32, WordOrder::LoFirst, &[0xFFFE, 0xFFFF], &[]),
            Raw::Number(-2.0)
        );
        assert_eq!(decode(RegisterType::U32, hi, &[1], &[]), Raw::Missing);
        assert!(encode(RegisterType::U16, hi, -1.0).is_err() && encode(RegisterType::I16, hi, 40_000.0).is_err());
        assert_eq!(
            decode(RegisterType::Str, hi, &[0x4142, 0x4300], &[]),
            Raw::Text("ABC".into())
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_or_refused(
            kind in 0usize..8, low_first: bool, value in prop_oneof![-70_000.0f64..70_000.0, -5e9f64..5e9],
        ) {
            use RegisterType::*;
            let type_ = [U16, I16, U32, I32, U64, I64, F32, F64][kind];
            let order = if low_first { WordOrder::LoFirst } else { WordOrder::HiFirst };
            if let Ok(words) = encode(type_, order, value) {
                let Raw::Number(back) = decode(type_, order, &words, &[]) else { panic!("{value} lost") };
                let near = match type_ { F32 => (back - value).abs() <= value.abs() * 1e-6, F64 => back == value, _ => (back - value).abs() <= 0.5 };
                prop_assert!(near, "{value} became {back}");
            }
        }
    }
}
