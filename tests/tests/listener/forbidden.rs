//! Where a container's seccomp profile lets nobody at the framework's own socket, as Docker's default does.

use std::time::Duration;

use sse_tests::{examples::Example, http, left_out, servers::Framework};
use tokio::{process::Command, time::sleep};

/// Answers `pidfd_getfd` (438 on every architecture) with EPERM from here on, and becomes the program.
const FORBID: &str = "
import ctypes, os, struct, sys
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 438), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
code = b''.join(struct.pack('HBBI', *step) for step in steps)
class Program(ctypes.Structure):
    _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_char_p)]
prctl = ctypes.CDLL(None).prctl
assert prctl(38, 1, 0, 0, 0) == 0
assert prctl(22, 2, ctypes.byref(Program(len(steps), code)), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
";

/// Rocket runs as it would alone, and whoever reads its log is told, without having set up one for `tracing`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rocket_says_where_its_socket_cannot_be_had() {
    let launcher = ["python3", "-c", FORBID];
    let tried = Command::new(launcher[0]).args(&launcher[1..]).arg("/bin/true").output().await;
    if !tried.is_ok_and(|tried| tried.status.success()) {
        left_out(
            "system calls that are forbidden",
            &["Rocket in a container: there is no python3, or no seccomp".to_owned()],
        );
        return;
    }
    let mut example = Example::start_by(Framework::Rocket, "quickstart", &launcher).await;
    let mut stream = http::get(example.addr, "/events").await;
    stream.until(|text| text.contains("retry")).await;
    // It may yet be about to say so.
    let said = "cannot set the options of the listening socket";
    for _ in 0..1000 {
        if example.output().contains(said) {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(example.output().contains(said), "{}", example.output());
    drop(stream);
    example.signal("TERM").await;
    assert_eq!(example.code(Duration::from_secs(20)).await, Some(0));
}
