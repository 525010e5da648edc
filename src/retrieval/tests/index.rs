//! The file of vectors, and who is nearest.

use super::super::fault::FileFaultKind;
use super::super::flat_index::FlatIndex;
use super::index_bytes;
use proptest::collection::vec;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Result<FlatIndex, FileFaultKind> {
    FlatIndex::read(&mut &*bytes, bytes.len() as u64)
}

#[test]
fn the_example_of_faiss_is_read_as_faiss_wrote_it() {
    // `faiss.write_index` of two vectors of three numbers: 69 bytes.
    let bytes = index_bytes(&[vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]]);
    assert_eq!(bytes.len(), 69);
    let index = read(&bytes).unwrap();
    assert_eq!((index.dimension(), index.vectors()), (3, 2));
    let nearest = index.nearest(&[4.0, 5.0, 7.0], 9);
    let found: Vec<(usize, f32)> = nearest.iter().map(|n| (n.row, n.distance)).collect();
    assert_eq!(found, [(1, 1.0), (0, 9.0 + 9.0 + 16.0)]);
}

#[test]
fn nobody_is_nearest_where_nobody_is_or_is_asked_for() {
    let index = read(&index_bytes(&[])).unwrap();
    assert_eq!(index.nearest(&[1.0, 1.0], 3), []);
    let index = read(&index_bytes(&[vec![1.0, 1.0]])).unwrap();
    assert_eq!(index.nearest(&[1.0, 1.0], 0), []);
}

/// All distances, summed in order and in double precision.
fn by_the_book(vectors: &[Vec<f32>], query: &[f32]) -> Vec<(usize, f64)> {
    let distance = |vector: &Vec<f32>| {
        let pairs = vector.iter().zip(query);
        let squares = pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
        squares.sum()
    };
    let mut all: Vec<(usize, f64)> = vectors.iter().map(distance).enumerate().collect();
    all.sort_by(|one, other| one.1.total_cmp(&other.1));
    all
}

/// Vectors whose distances are exact in single precision, so that order is not a matter of rounding.
fn vectors() -> impl Strategy<Value = (Vec<Vec<f32>>, Vec<f32>)> {
    // Short ones, and those that are rounded first.
    let dimension = prop_oneof![1_usize..70, 120_usize..300];
    dimension.prop_flat_map(|dimension| {
        let number = || (-9_i8..=9).prop_map(f32::from);
        let vector = move || vec(number(), dimension);
        (vec(vector(), 0..40), vector())
    })
}

proptest! {
    #[test]
    fn the_nearest_are_those_by_the_book((vectors, query) in vectors(), most in 0_usize..8) {
        let index = read(&index_bytes(&vectors));
        prop_assume!(!vectors.is_empty());
        let index = index.unwrap();
        let nearest = index.nearest(&query, most);
        let found: Vec<(usize, f64)> =
            nearest.iter().map(|n| (n.row, f64::from(n.distance))).collect();
        let mut wanted = by_the_book(&vectors, &query);
        wanted.truncate(most);
        prop_assert_eq!(found, wanted);
    }

    /// Also of vectors whose numbers differ by many orders of magnitude, which rounding makes zeros of.
    #[test]
    fn nobody_who_is_not_found_is_nearer_than_who_is(
        seeds in vec((any::<u32>(), -40_i32..38), 1..60),
        most in 1_usize..8,
    ) {
        let vector = |(seed, exponent): &(u32, i32)| -> Vec<f32> {
            let mut state = u64::from(*seed) | 1;
            let number = |at: i32| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let number = (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5;
                number * 10_f32.powi(if at % 17 == 0 { *exponent } else { 0 })
            };
            (0..160).map(number).collect()
        };
        let mut vectors: Vec<Vec<f32>> = seeds.iter().map(vector).collect();
        let query = vectors[0].iter().map(|number| number * 1.01).collect::<Vec<f32>>();
        vectors.push(vec![0.0; 160]);
        let index = read(&index_bytes(&vectors)).unwrap();
        let nearest = index.nearest(&query, most);
        prop_assert_eq!(nearest.len(), most.min(vectors.len()));
        let last = f64::from(nearest.last().unwrap().distance);
        for (row, distance) in by_the_book(&vectors, &query) {
            let is_found = nearest.iter().any(|found| found.row == row);
            prop_assert!(is_found || distance >= last * (1.0 - 1e-4) || last.is_infinite());
        }
    }

    #[test]
    fn any_bytes_are_an_index_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        drop(read(&bytes));
        // The same behind a header that begins well.
        let mut near = index_bytes(&[vec![1.0, 2.0]]);
        let keep = near.len().min(bytes.len());
        near.splice(4..keep.max(4), bytes.into_iter().take(keep.saturating_sub(4)));
        if let Ok(index) = read(&near) {
            prop_assert_eq!(45 + index.vectors() * index.dimension() * 4, near.len());
        }
    }

    #[test]
    fn an_index_that_is_cut_off_anywhere_is_refused(
        (vectors, _) in vectors(),
        at in any::<prop::sample::Index>(),
    ) {
        let bytes = index_bytes(&vectors);
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert!(read(cut).is_err());
        // Also if it was whole when its length was asked for.
        let torn = FlatIndex::read(&mut &*cut, bytes.len() as u64);
        let is_torn = matches!(torn, Err(FileFaultKind::Torn { .. }));
        prop_assert!(is_torn, "{:?}", torn);
    }
}
