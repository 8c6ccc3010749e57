//! SunSpec registers of points a device does not implement: 0x8000 where signed (I), 0xFFFF where unsigned (U), zero in
//! counters and texts (Z); by model, as runs over all its registers. Source: the SunSpec model definitions.

/// Runs such as `2U1I`: two unsigned registers, one signed.
fn runs(model: u16) -> &'static str {
    match model {
        1 => "2U64Z1U1I",
        103 => "6U1I6U3I1U7I2Z1I1U1I1U8I14U",
        120 => "4U1I1U6I1U6I1U1I1U1I1U1I1U2I",
        121 => "4U1I3U4I1U4I5U10I",
        122 => "5U24Z2I1U1I4U4Z4U1I",
        123 => "10U1I4U3I5U3I",
        124 => "12U2I4U8I",
        160 => "2U4I2U1Z2U8Z3U2Z2U1I4U8Z3U2Z2U1I4U8Z3U2Z2U1I4U8Z3U2Z2U1I3U",
        203 => "2U36I16Z1I16Z1I32Z1I2U",
        701 => "10U5I20U11I18U5I18U5I21U10I32Z",
        702 => "45U7I",
        704 => "24U1I1Z1I1Z2I8U1I1Z1I1Z2I9U6I8U",
        715 => "9U",
        _ => "7U2I",
    }
}

/// Registers of a model without its id and length, nothing implemented.
pub fn blank(model: u16) -> Vec<u16> {
    let mut words = Vec::new();
    let mut count = 0;
    for c in runs(model).chars() {
        if let Some(digit) = c.to_digit(10) {
            count = 10 * count + digit as usize;
            continue;
        }
        let word = match c {
            'I' => 0x8000,
            'U' => 0xFFFF,
            _ => 0,
        };
        words.extend(std::iter::repeat_n(word, count));
        count = 0;
    }
    words.drain(..2);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_as_long_as_the_standard_says() {
        let check = |model, length: usize| assert_eq!(blank(model).len(), length, "model {model}");
        check(1, 66);
        check(103, 50);
        check(120, 26);
        check(121, 30);
        check(122, 44);
        check(123, 24);
        check(124, 24);
        check(160, 88);
        check(203, 105);
        check(701, 153);
        check(702, 50);
        check(704, 65);
        check(713, 7);
        check(715, 7);
    }
}
