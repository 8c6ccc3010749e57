//! A request as data: what to send, how its answer looks, and what it says.

use crate::profile::Table;
use std::borrow::Cow;
use tokio_modbus::{Request, Response};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    Read {
        table: Table,
        addr: u16,
        count: u16,
    },
    /// Function 5, 6 or 16; the words are handed in beside it.
    Write {
        fc: u8,
        addr: u16,
        count: u16,
    },
}

impl Ask {
    pub fn request<'w>(&self, words: &'w [u16]) -> Request<'w> {
        let first = words.first().copied();
        match (*self, first) {
            (Self::Read { table, addr, count }, _) => match table {
                Table::Holding => Request::ReadHoldingRegisters(addr, count),
                Table::Input => Request::ReadInputRegisters(addr, count),
                Table::Coil => Request::ReadCoils(addr, count),
                Table::Discrete => Request::ReadDiscreteInputs(addr, count),
            },
            (Self::Write { fc: 5, addr, .. }, Some(word)) => Request::WriteSingleCoil(addr, word != 0),
            (Self::Write { fc: 6, addr, .. }, Some(word)) => Request::WriteSingleRegister(addr, word),
            (Self::Write { addr, .. }, _) => Request::WriteMultipleRegisters(addr, Cow::Borrowed(words)),
        }
    }

    /// What the answer says, or in which way it is not the answer to this.
    pub fn understand(&self, answer: Response, words: &[u16]) -> Result<Vec<u16>, String> {
        match *self {
            Self::Read { table, addr, count } => {
                let read = registers(table, answer, count).ok_or_else(|| format!("no {table:?} registers"))?;
                if read.len() == usize::from(count) {
                    Ok(read)
                } else {
                    Err(format!("{} registers instead of {count} from {addr}", read.len()))
                }
            }
            Self::Write { addr, count, .. } => {
                let echoed = match (answer, words.first()) {
                    (Response::WriteSingleCoil(a, v), Some(w)) => a == addr && v == (*w != 0),
                    (Response::WriteSingleRegister(a, v), Some(w)) => a == addr && v == *w,
                    (Response::WriteMultipleRegisters(a, n), _) => a == addr && n == count,
                    _ => false,
                };
                if echoed {
                    Ok(Vec::new())
                } else {
                    Err(format!("the echo of the write to {addr} differs"))
                }
            }
        }
    }

    /// Without a transaction id the two answers cannot be told apart.
    pub fn answers_like(&self, other: &Self) -> bool {
        self.shape() == other.shape()
    }

    /// Function and bytes of the answer.
    fn shape(&self) -> (u8, usize) {
        match *self {
            Self::Read { table, count, .. } => match table {
                Table::Coil => (1, usize::from(count).div_ceil(8)),
                Table::Discrete => (2, usize::from(count).div_ceil(8)),
                Table::Holding => (3, 2 * usize::from(count)),
                Table::Input => (4, 2 * usize::from(count)),
            },
            Self::Write { fc, .. } => (fc, 4),
        }
    }

    /// A read at the same place whose answer has another length; for a write none is needed, since what it did is read back.
    pub fn of_another_shape(&self) -> Option<Self> {
        let Self::Read { table, addr, count } = *self else {
            return None;
        };
        let count = match table {
            Table::Coil | Table::Discrete if count > 8 => count - 8,
            Table::Coil | Table::Discrete => count + 8,
            Table::Holding | Table::Input if count > 1 => count - 1,
            Table::Holding | Table::Input => 2,
        };
        Some(Self::Read { table, addr, count })
    }

    /// Bytes of request and answer on a serial line.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Read { .. } => 8 + 5 + self.shape().1,
            Self::Write { count, .. } => 9 + 2 * usize::from(*count) + 8,
        }
    }
}

fn registers(table: Table, answer: Response, count: u16) -> Option<Vec<u16>> {
    let bits = |b: Vec<bool>| Some(b.into_iter().take(usize::from(count)).map(u16::from).collect());
    match (table, answer) {
        (Table::Holding, Response::ReadHoldingRegisters(w)) | (Table::Input, Response::ReadInputRegisters(w)) => {
            Some(w)
        }
        (Table::Coil, Response::ReadCoils(b)) | (Table::Discrete, Response::ReadDiscreteInputs(b)) => bits(b),
        _ => None,
    }
}
