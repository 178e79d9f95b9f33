//! Reference mode: a study in which one difference after another from the paper's published curves can be traced.
//!
//! `compat = "learning-dynamics-2025-05"` follows the protocol of the paper's reference code as it was last changed, in
//! May 2025. What differs from a study without it:
//!
//! | what | reference mode | otherwise |
//! |---|---|---|
//! | order of the examples | Python's and numpy's generators with seed 0, whatever `seed` is; every stage alike; a batch that an epoch leaves incomplete is dropped | shuffles of ChaCha by `seed` and stage; no example dropped |
//! | what is cut | one rule for all of a record's texts, the prompt among them ([`Cut::Reference`](crate::data::Cut)) | each response for itself |
//! | probes | before an update, where the examples seen are a multiple of the cadence; none at the end | at the cadence, and at the end |
//! | reference model | its weights rounded to half precision, so that h is not 0 at step 0 | as they are |
//! | further output | `<stage>-prob_train_metrics.json`, a line an evaluation under the code's own names | none |
//!
//! Summed losses, RMSprop, the warm-up over 150 steps and clipping at 10 are this program's defaults already.
//! On the code's machine the reference model also *computed* in half precision; here its weights alone are rounded.
//!
//! # Faults
//!
//! `faults = [...]` brings back, one by one, what was wrong in the code or in an earlier state of it that published
//! curves were made with:
//!
//! | fault | what the code did | what changes when it is mended |
//! |---|---|---|
//! | `argmax_of_last_kind` | until 8 May 2025 each kind of response overwrote the greedy confidence, ‖A‖_F, ‖π − e‖ and energy of the one before | they belong to y⁺, not to the last kind (shuffled words): at Pythia-410M's start −61.6 nats, not −113.5, and the rise over DPO is 20 nats, not 50 |
//! | `chosen_only` | for a day in May 2025 only log π(y⁺) was logged | all kinds are |
//! | `except_argmax_nan` | log(1 − max π + 1e-100) in single precision, where the added number is 0, then times a mask of 0: −∞·0 | a number for every response, also where 1 − max π is below the precision's smallest step |
//! | `policy_as_reference` | an option made the reference the policy itself, the same object | h moves away from 0, and with it the weight β·(1 − σ(βh)), which else stays β/2 for ever |
//! | `epochs_never_end` | the epoch counter stood behind the loop | `epochs` ends a stage; with the fault `max_steps` alone does |
//! | `log_appended` | a run in a used folder added its lines to the log that was there | the log holds one run |
//!
//! Not brought back, because nothing here corresponds: the dump of greedy tokens that needed batches of one, a default
//! configuration that named a missing file, generation whose length followed the model's own configuration, and an index
//! in the notebook that made the data, which could lie one behind its end.

mod log;
mod order;

pub use log::{log_name, logs};
pub use order::order;
