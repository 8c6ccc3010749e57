//! What people call tables, types, word orders and units, and what we call them.

use crate::profile::RegisterType;

/// A whole number, decimal or `0x…`.
pub(super) fn whole(text: &str) -> Option<i64> {
    let text = text.trim().trim_matches('"');
    match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Lower case, digits and `_`.
pub(super) fn slug(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let all: String = text.chars().take(60).map(plain).collect();
    let parts: Vec<&str> = all.split('_').filter(|p| !p.is_empty()).collect();
    let joined = parts.join("_");
    match joined.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("r_{joined}"),
        false => joined,
    }
}

/// A column's or a word's name, without what people write differently.
pub(super) fn bare(text: &str) -> String {
    let kept = text.chars().filter(char::is_ascii_alphanumeric);
    kept.map(|c| c.to_ascii_lowercase()).collect()
}

pub(super) fn table(text: &str) -> Option<&'static str> {
    Some(match bare(text).as_str() {
        "holding" | "holdingregister" | "holdingregisters" | "3" | "03" | "fc3" | "fc03" | "hr" => "holding",
        "input" | "inputregister" | "inputregisters" | "4" | "04" | "fc4" | "fc04" | "ir" => "input",
        "coil" | "coils" | "1" | "01" | "fc1" | "fc01" => "coil",
        "discrete" | "discreteinput" | "discreteinputs" | "2" | "02" | "fc2" | "fc02" => "discrete",
        _ => return None,
    })
}

pub(super) fn type_of(text: &str) -> Option<RegisterType> {
    Some(match bare(text).as_str() {
        "u16" | "uint16" | "uint" | "ushort" | "word" | "enum16" | "bitfield16" => RegisterType::U16,
        "i16" | "int16" | "int" | "short" | "s16" | "sint16" => RegisterType::I16,
        "u32" | "uint32" | "ulong" | "dword" | "enum32" | "bitfield32" => RegisterType::U32,
        "i32" | "int32" | "long" | "s32" | "sint32" => RegisterType::I32,
        "u64" | "uint64" => RegisterType::U64,
        "i64" | "int64" | "s64" => RegisterType::I64,
        "f32" | "float32" | "float" | "real" | "single" => RegisterType::F32,
        "f64" | "float64" | "double" => RegisterType::F64,
        "bit" | "bits" | "bool" | "boolean" => RegisterType::Bits,
        "str" | "string" | "text" | "ascii" => RegisterType::Str,
        _ => return None,
    })
}

pub(super) fn type_name(type_: RegisterType) -> &'static str {
    match type_ {
        RegisterType::U16 => "u16",
        RegisterType::I16 => "i16",
        RegisterType::U32 => "u32",
        RegisterType::I32 => "i32",
        RegisterType::U64 => "u64",
        RegisterType::I64 => "i64",
        RegisterType::F32 => "f32",
        RegisterType::F64 => "f64",
        RegisterType::Bits => "bits",
        RegisterType::Str => "str",
    }
}

pub(super) fn order(text: &str) -> Option<&'static str> {
    Some(match bare(text).as_str() {
        "hifirst" | "big" | "bigendian" | "be" | "abcd" | "high" | "highfirst" | "msw" => "hi_first",
        "lofirst" | "little" | "cdab" | "low" | "lowfirst" | "lsw" | "wordswap" => "lo_first",
        _ => return None,
    })
}

/// Our unit and the factor to it.
pub(super) fn unit(text: &str) -> Option<(&'static str, f64)> {
    Some(match text.trim() {
        "" | "-" | "1" => ("", 1.0),
        "W" | "w" => ("kW", 1e-3),
        "kW" | "KW" => ("kW", 1.0),
        "MW" => ("kW", 1e3),
        "var" | "VAr" | "VAR" | "Var" => ("kvar", 1e-3),
        "kvar" | "kVAr" | "kVAR" => ("kvar", 1.0),
        "VA" => ("kVA", 1e-3),
        "kVA" => ("kVA", 1.0),
        "Wh" => ("kWh", 1e-3),
        "kWh" | "KWh" => ("kWh", 1.0),
        "MWh" => ("kWh", 1e3),
        "V" => ("V", 1.0),
        "mV" => ("V", 1e-3),
        "A" => ("A", 1.0),
        "mA" => ("A", 1e-3),
        "Hz" => ("Hz", 1.0),
        "%" => ("%", 1.0),
        "°C" | "C" | "degC" | "℃" => ("°C", 1.0),
        "s" | "sec" => ("s", 1.0),
        "ms" => ("ms", 1.0),
        "kPa" => ("kPa", 1.0),
        "rpm" | "RPM" => ("rpm", 1.0),
        "K" => ("K", 1.0),
        _ => return None,
    })
}
