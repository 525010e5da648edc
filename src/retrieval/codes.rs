//! Vectors as small integers: who cannot be near is known from a quarter of the bytes, and a search is as fast as memory is.
//!
//! Of each vector there is a rounded one, a byte for each number, and how long what was rounded off is. With that the true
//! distance is at least a number that takes integers alone to find (Cauchy-Schwarz); only vectors whose number is small
//! enough are compared in full. So what is found is what comparing all of them finds.
//!
//! Pure. For vectors of [`DIMENSION_MIN`] numbers and more: of shorter ones the lengths would take more than they spare.

/// The shortest vectors that are rounded.
pub(super) const DIMENSION_MIN: usize = 128;
/// The largest number of a rounded vector.
const CODE_MAX: f32 = 127.0;
/// The largest number of a rounded question, unless a sum of as many products could be too large for an i32.
const QUESTION_MAX: i32 = 8191;
/// What a distance in single precision may be less than the true one, as a share of it: 4,096 roundings are far below.
const ROUNDING: f64 = 1e-3;
/// What sums in double precision may be wrong by, as a share of their largest term.
const ROUNDING_OF_SUMS: f64 = 1e-9;

/// The rounded vectors of an index, in their order.
#[derive(Debug, PartialEq)]
pub(super) struct Codes {
    dimension: usize,
    /// All numbers, vector after vector.
    numbers: Vec<i8>,
    lengths: Vec<Lengths>,
}

/// Of one vector.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Lengths {
    /// What 1 in the rounded vector stands for.
    unit: f64,
    /// The square of the vector's own length.
    square: f64,
    /// Of the rounded vector.
    rounded: f64,
    /// Of what was rounded off.
    lost: f64,
}

impl Codes {
    /// Bytes of the codes of a vector of so many numbers.
    pub(super) const fn bytes(dimension: usize) -> usize {
        if dimension < DIMENSION_MIN {
            return 0;
        }
        dimension + size_of::<Lengths>()
    }

    /// Rounds these vectors of so many finite numbers each; `None` where that is not worth it, or there is no memory.
    pub(super) fn new(numbers: &[f32], dimension: usize) -> Option<Self> {
        if dimension < DIMENSION_MIN {
            return None;
        }
        let mut codes = Self {
            dimension,
            numbers: Vec::new(),
            lengths: Vec::new(),
        };
        let vectors = numbers.len() / dimension;
        codes.numbers.try_reserve_exact(vectors * dimension).ok()?;
        codes.lengths.try_reserve_exact(vectors).ok()?;
        for vector in numbers.chunks_exact(dimension) {
            codes.push(vector);
        }
        Some(codes)
    }

    fn push(&mut self, vector: &[f32]) {
        let unit = unit(vector, CODE_MAX);
        let (mut square, mut rounded, mut lost) = (0.0, 0.0, 0.0);
        for number in vector {
            #[expect(clippy::cast_possible_truncation, reason = "at most CODE_MAX")]
            let code = (f64::from(*number) / unit).round() as i8;
            self.numbers.push(code);
            let (number, code) = (f64::from(*number), f64::from(code) * unit);
            square += number * number;
            rounded += code * code;
            lost += (number - code) * (number - code);
        }
        self.lengths.push(Lengths {
            unit,
            square,
            rounded: rounded.sqrt(),
            lost: lost.sqrt(),
        });
    }

    /// What the squared distance of each vector to `question`, computed in single precision, is at least.
    pub(super) fn least_distances(&self, question: &[f32]) -> Vec<f64> {
        let question = RoundedQuestion::new(question);
        let vectors = self.numbers.chunks_exact(self.dimension);
        vectors
            .zip(&self.lengths)
            .map(|(codes, lengths)| {
                let product = f64::from(product(codes, &question.numbers));
                let product = product * lengths.unit * question.unit;
                let lost = lengths.lost * question.length + lengths.rounded * question.lost;
                let squares = lengths.square + question.length * question.length;
                let least = squares - 2.0 * (product + lost) - squares * ROUNDING_OF_SUMS;
                least.max(0.0) * (1.0 - ROUNDING)
            })
            .collect()
    }
}

/// A question's vector, rounded.
struct RoundedQuestion {
    numbers: Vec<i16>,
    /// What 1 in it stands for.
    unit: f64,
    /// Of the question.
    length: f64,
    /// Of what was rounded off.
    lost: f64,
}

impl RoundedQuestion {
    fn new(question: &[f32]) -> Self {
        let terms = i32::try_from(question.len()).unwrap_or(i32::MAX);
        let most = QUESTION_MAX.min(i32::MAX / 128 / terms.max(1));
        #[expect(clippy::cast_precision_loss, reason = "at most QUESTION_MAX")]
        let unit = unit(question, most as f32);
        let (mut square, mut lost) = (0.0, 0.0);
        let round = |number: &f32| {
            let number = f64::from(*number);
            #[expect(clippy::cast_possible_truncation, reason = "at most QUESTION_MAX")]
            let code = (number / unit).round() as i16;
            square += number * number;
            lost += (number - f64::from(code) * unit).powi(2);
            code
        };
        Self {
            numbers: question.iter().map(round).collect(),
            unit,
            length: square.sqrt(),
            lost: lost.sqrt(),
        }
    }
}

/// What 1 stands for where the largest number is to be `most`; never 0.
fn unit(vector: &[f32], most: f32) -> f64 {
    let largest = vector
        .iter()
        .fold(0.0_f32, |most, number| most.max(number.abs()));
    if largest > 0.0 {
        f64::from(largest) / f64::from(most)
    } else {
        1.0
    }
}

/// The sum of the products. A compiler makes wide registers of this form.
fn product(codes: &[i8], question: &[i16]) -> i32 {
    let pairs = codes.iter().zip(question);
    pairs
        .map(|(code, number)| i32::from(*code) * i32::from(*number))
        .sum()
}
