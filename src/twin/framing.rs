//! Frames of the twin's servers: Modbus TCP, and RTU (over TCP) with its checksum.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How a station speaks on its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Tcp,
    Rtu,
}

/// A request: what the answer must repeat, the unit asked, the PDU.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    transaction: [u8; 2],
    pub unit: u8,
    pub pdu: Vec<u8>,
}

impl Framing {
    /// The next request; an error ends the connection. RTU frames with a wrong checksum are passed over, as the standard says.
    pub async fn request<S: AsyncRead + Unpin>(self, stream: &mut S) -> io::Result<Request> {
        match self {
            Self::Tcp => tcp(stream).await,
            Self::Rtu => rtu(stream).await,
        }
    }

    pub fn answer(self, to: &Request, pdu: &[u8]) -> Vec<u8> {
        match self {
            Self::Tcp => {
                let mut frame = vec![to.transaction[0], to.transaction[1], 0, 0];
                frame.extend((pdu.len() as u16 + 1).to_be_bytes());
                frame.push(to.unit);
                frame.extend(pdu);
                frame
            }
            Self::Rtu => {
                let mut frame = vec![to.unit];
                frame.extend(pdu);
                frame.extend(crc(&frame).to_le_bytes());
                frame
            }
        }
    }
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

async fn tcp<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Request> {
    let mut header = [0u8; 7];
    stream.read_exact(&mut header).await?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[2..4] != [0, 0] || !(2..=254).contains(&length) {
        return Err(wrong("not a Modbus frame"));
    }
    let mut pdu = vec![0u8; length - 1];
    stream.read_exact(&mut pdu).await?;
    Ok(Request {
        transaction: [header[0], header[1]],
        unit: header[6],
        pdu,
    })
}

async fn rtu<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Request> {
    loop {
        let mut frame = vec![0u8; 2];
        stream.read_exact(&mut frame).await?;
        let fixed = match frame[1] {
            1..=6 => 4,
            15 | 16 => 5,
            _ => return Err(wrong("not a function this device has")),
        };
        more(stream, &mut frame, fixed).await?;
        if fixed == 5 {
            let bytes = usize::from(frame[6]);
            more(stream, &mut frame, bytes).await?;
        }
        let expected = crc(&frame);
        let mut sum = [0u8; 2];
        stream.read_exact(&mut sum).await?;
        if u16::from_le_bytes(sum) == expected {
            return Ok(Request {
                transaction: [0, 0],
                unit: frame[0],
                pdu: frame.split_off(1),
            });
        }
    }
}

async fn more<S: AsyncRead + Unpin>(stream: &mut S, frame: &mut Vec<u8>, bytes: usize) -> io::Result<()> {
    let from = frame.len();
    frame.resize(from + bytes, 0);
    stream.read_exact(&mut frame[from..]).await.map(|_| ())
}

/// CRC-16/MODBUS.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |c, _| {
            if c & 1 == 1 { (c >> 1) ^ 0xA001 } else { c >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_of_the_standard_is_read_and_one_with_a_wrong_checksum_is_passed_over() {
        // Unit 17, holding registers 107..110, from the Modbus specification.
        let frame = [0x11, 3, 0, 0x6B, 0, 3, 0x76, 0x87];
        let mut spoilt = frame;
        spoilt[6] ^= 1;
        let mut stream = &[spoilt, frame].concat()[..];
        let request = Framing::Rtu.request(&mut stream).await.unwrap();
        assert_eq!((request.unit, request.pdu.as_slice()), (0x11, &[3, 0, 0x6B, 0, 3][..]));
        assert!(stream.is_empty(), "both frames were read");
        let answer = Framing::Rtu.answer(&request, &[0x83, 2]);
        assert_eq!(answer, [0x11, 0x83, 2, 0xC1, 0x34]);
    }
}
