//! Figures: what the process uses, and the text form in which Prometheus reads them.
//!
//! - [`process`]: memory, files and threads, from the system. [`text`]: the form that Prometheus reads.

pub mod process;
pub mod text;
