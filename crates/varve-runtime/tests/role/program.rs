//! The program that plays the hidden role in this crate's tests. Its filters are not `linux.seccomp`
//! read in full: any refuses `mkdir`, enough to see that filters are installed when they should.

use std::process::ExitCode;

use varve_runtime::oci::{Filters, Instruction};

fn main() -> ExitCode {
    let filters = |_: &[u8]| -> Result<Filters, String> {
        let one = |code, jt, jf, k| Instruction { code, jt, jf, k };
        let mkdir = if cfg!(target_arch = "x86_64") { 83 } else { 34 };
        // Load the number; if it is mkdir's answer EPERM, else allow.
        Ok(vec![vec![
            one(0x20, 0, 0, 0),
            one(0x15, 0, 1, mkdir),
            one(0x06, 0, 0, 0x0005_0001),
            one(0x06, 0, 0, 0x7fff_0000),
        ]])
    };
    varve_runtime::role::play(filters)
}
