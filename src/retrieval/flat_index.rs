//! A flat index of FAISS: its file, and who is nearest in it.
//!
//! The file, all of it little-endian (`write_index_header` and `READVECTOR` of FAISS, tried with 1.15.1): `IxF2`, dimension
//! i32, vectors i64, two i64 that nobody reads, `is_trained` u8, metric i32 (1 = L2), count of numbers u64, then the numbers
//! as f32, one vector after the other. The header has 45 bytes, so that the numbers are not aligned: they are copied.

use super::codes::{Codes, DIMENSION_MIN};
use super::fault::FileFaultKind;
use crate::config::DIMENSION_MAX;
use std::io::{self, Read};

/// Bytes before the first number.
const HEADER_BYTES: usize = 45;
/// The metric of L2 distances.
const METRIC_L2: i32 = 1;
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// Sums that are added to side by side: what a compiler makes one or two wide registers of. One sum alone takes eight
/// times as long, since additions of floating point may not change places.
const LANES: usize = 16;

/// The vectors of a business's chunks, in their order.
#[derive(Debug, PartialEq)]
pub(super) struct FlatIndex {
    dimension: usize,
    /// All numbers, vector after vector.
    numbers: Vec<f32>,
    /// `None`: they are too short for it to be worth it.
    codes: Option<Codes>,
}

/// What the header says.
#[derive(Debug)]
struct FlatHeader {
    dimension: usize,
    vectors: usize,
}

/// A vector's place, and its squared distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Neighbour {
    pub(super) row: usize,
    pub(super) distance: f32,
}

/// The next bytes of a header.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let Some((taken, after)) = rest.split_first_chunk() else {
        return [0; N];
    };
    *rest = after;
    *taken
}

impl FlatHeader {
    fn read(bytes: &[u8; HEADER_BYTES], length: u64) -> Result<Self, FileFaultKind> {
        let mut rest = bytes.as_slice();
        let kind = take::<4>(&mut rest);
        if kind != *b"IxF2" {
            let kind = kind.escape_ascii().to_string();
            return Err(FileFaultKind::Kind(format!("begins with {kind}").into()));
        }
        let dimension = i32::from_le_bytes(take(&mut rest));
        let vectors = i64::from_le_bytes(take(&mut rest));
        take::<16>(&mut rest);
        let [is_trained] = take(&mut rest);
        let metric = i32::from_le_bytes(take(&mut rest));
        let count = u64::from_le_bytes(take(&mut rest));
        let legal = usize::try_from(dimension).ok();
        let legal = legal.filter(|dimension| (1..=DIMENSION_MAX).contains(dimension));
        let Some(legal) = legal else {
            return Err(FileFaultKind::Dimension(dimension));
        };
        if is_trained != 1 || metric != METRIC_L2 {
            let what = format!("metric {metric}, trained {is_trained}");
            return Err(FileFaultKind::Kind(what.into()));
        }
        let said = u64::try_from(vectors).ok();
        let said = said.and_then(|vectors| vectors.checked_mul(legal as u64));
        if said != Some(count) {
            let what = format!("{count} numbers of {vectors} vectors of {legal}");
            return Err(FileFaultKind::Kind(what.into()));
        }
        let announced = count
            .saturating_mul(size_of::<f32>() as u64)
            .saturating_add(HEADER_BYTES as u64);
        if announced != length {
            return Err(FileFaultKind::Torn { length, announced });
        }
        Ok(Self {
            dimension: legal,
            // No larger than the file.
            vectors: usize::try_from(vectors).unwrap_or(usize::MAX),
        })
    }
}

impl FlatIndex {
    /// Reads a file of `length` bytes. Nothing is allocated for what its header says beyond that length.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn read(input: &mut impl Read, length: u64) -> Result<Self, FileFaultKind> {
        let torn = |announced| FileFaultKind::Torn { length, announced };
        let mut header = [0; HEADER_BYTES];
        let ended = |error: io::Error, announced| match error.kind() {
            io::ErrorKind::UnexpectedEof => torn(announced),
            _ => error.into(),
        };
        if let Err(error) = input.read_exact(&mut header) {
            return Err(ended(error, HEADER_BYTES as u64));
        }
        let FlatHeader { dimension, vectors } = FlatHeader::read(&header, length)?;
        let count = vectors.saturating_mul(dimension);
        let mut numbers = Vec::new();
        if numbers.try_reserve_exact(count).is_err() {
            return Err(FileFaultKind::Unreadable(io::ErrorKind::OutOfMemory));
        }
        let mut buffer = vec![0; READ_BYTES];
        let mut left = count.saturating_mul(size_of::<f32>());
        while left > 0 {
            let wanted = left.min(READ_BYTES);
            let part = buffer.get_mut(..wanted).unwrap_or_default();
            if let Err(error) = input.read_exact(part) {
                return Err(ended(error, length));
            }
            left -= wanted;
            let (words, _) = part.as_chunks();
            numbers.extend(words.iter().copied().map(f32::from_le_bytes));
        }
        if !numbers.iter().all(|number| number.is_finite()) {
            return Err(FileFaultKind::NotFinite);
        }
        let codes = Codes::new(&numbers, dimension);
        Ok(Self {
            dimension,
            numbers,
            codes,
        })
    }

    /// Numbers of each vector.
    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many vectors there are.
    pub(super) fn vectors(&self) -> usize {
        self.numbers.len() / self.dimension
    }

    /// Bytes in memory of vectors whose file has `length` bytes, at most.
    pub(super) fn bytes_needed(length: u64) -> u64 {
        let vector = DIMENSION_MIN * size_of::<f32>();
        let codes = length / vector as u64 * Codes::bytes(DIMENSION_MIN) as u64;
        length.saturating_add(codes)
    }

    /// Bytes of it in memory.
    pub(super) fn bytes(&self) -> usize {
        let codes = self
            .codes
            .as_ref()
            .map_or(0, |_| Codes::bytes(self.dimension));
        self.vectors() * (self.dimension * size_of::<f32>() + codes)
    }

    /// The `most` vectors that are nearest to `query`, which has as many numbers as each of them: by distance, those of
    /// one distance in the order of the index, as FAISS has it.
    pub(super) fn nearest(&self, query: &[f32], most: usize) -> Vec<Neighbour> {
        let least = self
            .codes
            .as_ref()
            .map(|codes| codes.least_distances(query));
        let mut rows: Vec<(f64, usize)> = match least {
            Some(least) => least.into_iter().zip(0..).collect(),
            None => (0..self.vectors()).map(|row| (0.0, row)).collect(),
        };
        // Those that may be nearest come first: then few of the others are compared.
        if (1..rows.len()).contains(&most) {
            rows.select_nth_unstable_by(most - 1, |one, other| one.0.total_cmp(&other.0));
        }
        let mut nearest: Vec<Neighbour> = Vec::with_capacity(most.saturating_add(1));
        for (least, row) in rows {
            let is_full = nearest.len() >= most;
            if is_full
                && nearest
                    .last()
                    .is_none_or(|last| f64::from(last.distance) < least)
            {
                continue;
            }
            let vector = self.numbers.chunks_exact(self.dimension).nth(row);
            let distance = squared_distance(vector.unwrap_or_default(), query);
            let is_before = |other: &Neighbour| (other.distance, other.row) <= (distance, row);
            let place = nearest.partition_point(is_before);
            nearest.insert(place, Neighbour { row, distance });
            nearest.truncate(most);
        }
        nearest
    }
}

fn squared_distance(one: &[f32], other: &[f32]) -> f32 {
    let (chunks, rest) = one.as_chunks::<LANES>();
    let (other_chunks, other_rest) = other.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (chunk, other) in chunks.iter().zip(other_chunks) {
        for ((sum, one), other) in sums.iter_mut().zip(chunk).zip(other) {
            let difference = one - other;
            *sum += difference * difference;
        }
    }
    let rest = rest.iter().zip(other_rest);
    let rest = rest.map(|(one, other)| (one - other) * (one - other));
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}
