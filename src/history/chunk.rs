//! Bytes in the tables: instants packed as they come, hours compressed by series.

use pco::standalone::{simple_compress, simple_decompress};
use pco::{ChunkConfig, data_types::Number};

/// One instant: series number and value, 12 bytes each, little endian.
pub fn pack_tick(values: &[(u32, f64)]) -> Vec<u8> {
    let mut body = Vec::with_capacity(values.len() * 12);
    for (series, value) in values {
        body.extend_from_slice(&series.to_le_bytes());
        body.extend_from_slice(&value.to_le_bytes());
    }
    body
}

pub fn unpack_tick(body: &[u8]) -> impl Iterator<Item = (u32, f64)> + '_ {
    body.chunks_exact(12).filter_map(|c| {
        let series = u32::from_le_bytes(c.get(..4)?.try_into().ok()?);
        let value = f64::from_le_bytes(c.get(4..)?.try_into().ok()?);
        Some((series, value))
    })
}

pub fn compress<T: Number>(numbers: &[T]) -> Result<Vec<u8>, String> {
    simple_compress(numbers, &ChunkConfig::default()).map_err(|e| format!("cannot compress a chunk: {e}"))
}

pub fn decompress<T: Number>(bytes: &[u8]) -> Result<Vec<T>, String> {
    simple_decompress(bytes).map_err(|e| format!("a stored chunk cannot be read: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(values in proptest::collection::vec((any::<u32>(), any::<f64>()), 0..50)) {
            let back: Vec<_> = unpack_tick(&pack_tick(&values)).collect();
            prop_assert_eq!(back.len(), values.len());
            for (a, b) in back.iter().zip(&values) {
                prop_assert_eq!((a.0, a.1.to_bits()), (b.0, b.1.to_bits()));
            }
        }

        #[test]
        fn what_is_compressed_comes_back(stamps in proptest::collection::vec(any::<i64>(), 1..50), noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(decompress::<i64>(&compress(&stamps).unwrap()).unwrap(), stamps);
            let _never_panics = decompress::<f64>(&noise);
        }
    }
}
