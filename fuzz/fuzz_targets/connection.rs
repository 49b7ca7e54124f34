//! libFuzzer's door to `src/connection.rs`.
#![no_main]

#[path = "../src/connection.rs"]
mod connection;

libfuzzer_sys::fuzz_target!(|data: &[u8]| connection::run(data));
