//! A setting of a test run: where a server is that not every machine has.

use std::collections::BTreeSet;
use std::env;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

/// What the environment says under `name`; where it says nothing, tells once that `what` is left out, and
/// what to set.
pub fn setting(name: &'static str, what: &str) -> Option<String> {
    static SAID: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let setting = env::var(name).ok();
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if setting.is_none() && said.insert(name) {
        // Not `eprintln!`: what that prints is kept from sight when the test passes.
        let text = format!("LEFT OUT {what}\n");
        drop(std::io::stderr().write_all(text.as_bytes()));
    }
    setting
}
