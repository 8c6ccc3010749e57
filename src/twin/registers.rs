//! The twin's own register codec (it shares none with `field`): engineering values to big-endian words and back.

use crate::profile::{RegisterType, WordOrder};

/// Words of a raw number; what does not fit shows the type's extreme, as devices do.
pub fn put(type_: RegisterType, order: WordOrder, raw: f64) -> Vec<u16> {
    let bytes: Vec<u8> = match type_ {
        RegisterType::U16 | RegisterType::Bits => (raw.round() as u16).to_be_bytes().to_vec(),
        RegisterType::I16 => (raw.round() as i16).to_be_bytes().to_vec(),
        RegisterType::U32 => (raw.round() as u32).to_be_bytes().to_vec(),
        RegisterType::I32 => (raw.round() as i32).to_be_bytes().to_vec(),
        RegisterType::U64 => (raw.round() as u64).to_be_bytes().to_vec(),
        RegisterType::I64 => (raw.round() as i64).to_be_bytes().to_vec(),
        RegisterType::F32 => (raw as f32).to_be_bytes().to_vec(),
        RegisterType::F64 => raw.to_be_bytes().to_vec(),
        RegisterType::Str => return Vec::new(),
    };
    let mut words: Vec<u16> = bytes.chunks(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
    if order == WordOrder::LoFirst {
        words.reverse();
    }
    words
}

/// Raw number of words.
pub fn get(type_: RegisterType, order: WordOrder, words: &[u16]) -> f64 {
    let mut words = words.to_vec();
    if order == WordOrder::LoFirst {
        words.reverse();
    }
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    let n = |count: usize| -> [u8; 8] {
        let mut wide = [0u8; 8];
        wide[8 - count..].copy_from_slice(&bytes[..count]);
        wide
    };
    match (type_, bytes.len()) {
        (RegisterType::U16 | RegisterType::Bits, 2) => u64::from_be_bytes(n(2)) as f64,
        (RegisterType::I16, 2) => f64::from(u64::from_be_bytes(n(2)) as u16 as i16),
        (RegisterType::U32, 4) => u64::from_be_bytes(n(4)) as f64,
        (RegisterType::I32, 4) => f64::from(u64::from_be_bytes(n(4)) as u32 as i32),
        (RegisterType::F32, 4) => f64::from(f32::from_bits(u64::from_be_bytes(n(4)) as u32)),
        (RegisterType::U64, 8) => u64::from_be_bytes(n(8)) as f64,
        (RegisterType::I64, 8) => u64::from_be_bytes(n(8)) as i64 as f64,
        (RegisterType::F64, 8) => f64::from_bits(u64::from_be_bytes(n(8))),
        _ => f64::NAN,
    }
}

/// Text in `count` registers, padded with zeros.
pub fn text(value: &str, count: usize) -> Vec<u16> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.resize(count * 2, 0);
    bytes.chunks(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect()
}
