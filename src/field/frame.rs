//! What the answer to a request must look like, and whether bytes are that answer.
//!
//! In: the bytes of a request as they go out. Out: unit, function and length of the only answer that may come back.

use std::ops::Range;

/// Longest Modbus frame: 7 + 253 bytes (TCP), 256 (RTU).
pub const LONGEST: usize = 260;
/// Transaction, protocol, length, unit.
pub const MBAP: usize = 7;
/// Bytes of the checksum of an RTU frame.
const CRC: usize = 2;

/// How frames are delimited on a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Mbap,
    Rtu,
}

/// Writes the frame of a request (a PDU) into `into`, in place of what is there.
pub fn put(framing: Framing, transaction: u16, unit: u8, pdu: &[u8], into: &mut Vec<u8>) {
    into.clear();
    if framing == Framing::Mbap {
        into.extend(transaction.to_be_bytes());
        into.extend([0, 0]);
        into.extend((pdu.len() as u16 + 1).to_be_bytes());
    }
    into.push(unit);
    into.extend(pdu);
    if framing == Framing::Rtu {
        into.extend(crc(into).to_le_bytes());
    }
}

/// Where the PDU lies in a whole frame.
pub fn pdu_of(framing: Framing, frame: Range<usize>) -> Range<usize> {
    match framing {
        Framing::Mbap => frame.start + MBAP..frame.end,
        Framing::Rtu => frame.start + 1..frame.end - CRC,
    }
}

/// The answer somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    pub transaction: [u8; 2],
    pub unit: u8,
    pub function: u8,
    /// Bytes of the PDU, function included, of an answer that is no exception; `None` where the request does not say.
    pub pdu: Option<usize>,
}

impl Expected {
    /// What a whole request leads to expect; `None` if it is no request.
    pub fn of(request: &[u8], framing: Framing) -> Option<Self> {
        let (transaction, unit, pdu) = match framing {
            Framing::Mbap if request.len() > MBAP => ([request[0], request[1]], request[6], &request[MBAP..]),
            Framing::Rtu if request.len() > 1 + CRC => ([0, 0], request[0], &request[1..request.len() - CRC]),
            _ => return None,
        };
        let function = *pdu.first()?;
        Some(Self {
            transaction,
            unit,
            function,
            pdu: answer_length(function, pdu),
        })
    }
}

/// Bytes of the PDU that answers `request` (a PDU).
fn answer_length(function: u8, request: &[u8]) -> Option<usize> {
    let count = usize::from(u16::from_be_bytes([*request.get(3)?, *request.get(4)?]));
    match function {
        1 | 2 => Some(2 + count.div_ceil(8)),
        3 | 4 => Some(2 + 2 * count),
        5 | 6 | 15 | 16 => Some(5),
        _ => None,
    }
}

/// What lies at the start of the bytes that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Not enough bytes to say.
    More,
    /// The awaited answer, at these bytes.
    Answer { from: usize, to: usize },
    /// A whole frame nobody waits for ends here.
    Foreign { to: usize },
    /// It cannot be a frame: the stream is out of step.
    Nonsense,
}

/// Looks for the answer in an MBAP stream. `units` may answer besides the one asked.
pub fn find_mbap(bytes: &[u8], expected: Option<&Expected>, echo_tid: bool, units: &[u8]) -> Found {
    if bytes.len() < MBAP {
        return Found::More;
    }
    let length = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
    // Unit id and PDU: a PDU has 2 to 253 bytes.
    if bytes[2..4] != [0, 0] || !(3..=254).contains(&length) {
        return Found::Nonsense;
    }
    let to = 6 + length;
    if bytes.len() < to {
        return Found::More;
    }
    let fits = expected.is_some_and(|e| {
        let right_unit = bytes[6] == e.unit || units.contains(&bytes[6]);
        // With its transaction id an answer is ours, whatever it says; without, only its shape tells.
        let ours = if echo_tid {
            bytes[..2] == e.transaction
        } else {
            shaped(&bytes[MBAP..to], e)
        };
        right_unit && ours
    });
    if fits {
        Found::Answer { from: 0, to }
    } else {
        Found::Foreign { to }
    }
}

/// A PDU of the expected function and length, or its exception.
fn shaped(pdu: &[u8], e: &Expected) -> bool {
    match pdu.first() {
        Some(f) if *f == e.function => {
            let bytes_told =
                !matches!(e.function, 1..=4) || pdu.get(1).is_some_and(|n| usize::from(*n) == pdu.len() - 2);
            e.pdu.is_none_or(|n| n == pdu.len()) && bytes_told
        }
        Some(f) if *f == e.function | 0x80 => pdu.len() == 2,
        _ => false,
    }
}

/// Looks for the answer anywhere in what a serial line brought: noise, echoes and late answers lie before it.
pub fn find_rtu(bytes: &[u8], expected: &Expected, units: &[u8]) -> Found {
    for from in 0..bytes.len() {
        let rest = &bytes[from..];
        if rest[0] != expected.unit && !units.contains(&rest[0]) {
            continue;
        }
        let Some(function) = rest.get(1) else { break };
        let pdu = match expected.pdu {
            _ if *function == expected.function | 0x80 => 2,
            Some(n) if *function == expected.function => n,
            None if *function == expected.function => rest.len().saturating_sub(1 + CRC),
            _ => continue,
        };
        let to = 1 + pdu + CRC;
        if pdu < 2 || rest.len() < to {
            continue;
        }
        let sum = crc(&rest[..1 + pdu]).to_le_bytes();
        if rest[1 + pdu..to] == sum && shaped(&rest[1..1 + pdu], expected) {
            return Found::Answer { from, to: from + to };
        }
    }
    Found::More
}

/// CRC-16/MODBUS (Modbus over serial line V1.02, 6.2.2), by nibbles.
pub fn crc(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 16] = [
        0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401, 0xA001, 0x6C00, 0x7800, 0xB401, 0x5000, 0x9C01,
        0x8801, 0x4400,
    ];
    bytes.iter().fold(0xFFFF, |sum, byte| {
        let sum = (sum >> 4) ^ TABLE[usize::from((sum as u8 ^ byte) & 0xF)];
        (sum >> 4) ^ TABLE[usize::from((sum as u8 ^ (byte >> 4)) & 0xF)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtu(bytes: &[u8]) -> Vec<u8> {
        let mut all = bytes.to_vec();
        all.extend(crc(bytes).to_le_bytes());
        all
    }

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        // Known frame of the specification's examples: slave 1 reads 10 holding registers from 0.
        assert_eq!(crc(&[0x01, 0x03, 0x00, 0x00, 0x00, 0x0A]).to_le_bytes(), [0xC5, 0xCD]);
        assert_eq!(crc(b"123456789"), 0x4B37);
    }

    #[test]
    fn an_answer_is_found_behind_noise_an_echo_and_an_answer_of_another_length() {
        let request = rtu(&[7, 3, 0, 52, 0, 2]);
        let expected = Expected::of(&request, Framing::Rtu).unwrap();
        assert_eq!(expected.pdu, Some(6));
        let answer = rtu(&[7, 3, 4, 1, 2, 3, 4]);
        let late = rtu(&[7, 3, 2, 9, 9]);
        for before in [
            vec![],
            vec![0xFF, 7, 3],
            request.clone(),
            late,
            rtu(&[8, 3, 4, 9, 9, 9, 9]),
        ] {
            let mut bytes = before.clone();
            bytes.extend(&answer);
            let place = Found::Answer {
                from: before.len(),
                to: bytes.len(),
            };
            assert_eq!(find_rtu(&bytes, &expected, &[]), place, "{before:?}");
            assert_eq!(find_rtu(&bytes[..bytes.len() - 1], &expected, &[]), Found::More);
        }
        let mut broken = answer;
        broken[4] ^= 1;
        assert_eq!(find_rtu(&broken, &expected, &[]), Found::More);
        let refused = rtu(&[7, 0x83, 2]);
        assert_eq!(find_rtu(&refused, &expected, &[]), Found::Answer { from: 0, to: 5 });
    }

    #[test]
    fn without_an_echoed_transaction_only_the_right_shape_passes() {
        let request = [0, 9, 0, 0, 0, 6, 1, 4, 0, 0, 0, 2];
        let expected = Expected::of(&request, Framing::Mbap).unwrap();
        let answer = [0, 0, 0, 0, 0, 7, 1, 4, 4, 1, 2, 3, 4];
        let short = [0, 0, 0, 0, 0, 5, 1, 4, 2, 1, 2];
        let whole = Found::Answer { from: 0, to: 13 };
        assert_eq!(find_mbap(&answer, Some(&expected), false, &[]), whole);
        assert_eq!(
            find_mbap(&answer, Some(&expected), true, &[]),
            Found::Foreign { to: 13 }
        );
        assert_eq!(
            find_mbap(&short, Some(&expected), false, &[]),
            Found::Foreign { to: 11 }
        );
        assert_eq!(find_mbap(&answer[..9], Some(&expected), false, &[]), Found::More);
        assert_eq!(find_mbap(&[0; 8], Some(&expected), false, &[]), Found::Nonsense);
    }
}
