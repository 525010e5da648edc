//! A campaign: cases measured against several servers, in turns within one run (A B C, C B A, ...), each measurement in processes of its
//! own; one folder with the raw figures and the tables. Ratios are taken within a round: neighbours in time share the machine's mood.
//! What is measured and how, [`Bench`] says: `compare` and `xnode --all` are two of them.

mod case;
mod figures;
mod record;
mod table;
mod work;

pub(crate) use case::{Baseline, Case, Cases, OURS, check_names, with_baselines};
pub(crate) use figures::{figure, figures, sentences};
pub(crate) use record::Compared;
pub(crate) use work::{Bench, Work, command, say};
