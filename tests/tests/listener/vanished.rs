//! A client whose machine vanishes: no packet of it comes any more. In network namespaces, where that can be had.

use std::{
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use sse_core::{Hub, ListenOptions, StreamOptions};
use sse_tests::{
    left_out,
    servers::{App, Framework},
};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

/// Tells the test that runs within which framework it is about.
const FRAMEWORK: &str = "SSE_TESTS_VANISHED";

const SERVER: [u8; 4] = [10, 99, 0, 1];

sse_tests::on_each_framework! {
    it_is_noticed
}

/// This very program again, in a namespace of its own.
async fn it_is_noticed(framework: Framework) {
    let program = std::env::current_exe().unwrap();
    let within = ["vanished::within_a_namespace", "--exact", "--ignored", "--nocapture"];
    let unshare = |program: &std::path::Path, args: &[&str]| {
        let mut command = Command::new("unshare");
        command.arg("--net").arg("--kill-child").arg(program).args(args).env(FRAMEWORK, framework.name());
        command
    };
    // Both ends of a link can be made, and programs be run at the other.
    let mut probe = unshare(
        "sh".as_ref(),
        &["-c", "ip link add near type veth peer name far && nsenter --version && bash --version"],
    );
    if !probe.output().await.is_ok_and(|output| output.status.success()) {
        let reason =
            "clients that vanish: no network namespace can be had (root, `unshare`, `nsenter`, `ip`)";
        left_out("network namespaces", &[reason.to_owned()]);
        return;
    }
    let mut inner = unshare(&program, &within);
    let output = timeout(Duration::from_secs(120), inner.kill_on_drop(true).output()).await;
    let output = output.expect("it comes to an end").unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("noticed after"), "{text}");
    println!("{text}");
}

async fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output().await.unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "`it_is_noticed` runs it, in a namespace"]
async fn within_a_namespace() {
    let Some(framework) = std::env::var_os(FRAMEWORK) else {
        return;
    };
    let framework = Framework::ALL.into_iter().find(|other| framework == other.name()).unwrap();
    let client_host =
        Command::new("unshare").args(["--net", "sleep", "300"]).kill_on_drop(true).spawn().unwrap();
    let pid = client_host.id().unwrap().to_string();
    let here = std::fs::read_link("/proc/self/ns/net").unwrap();
    while std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap() == here {
        sleep(Duration::from_millis(10)).await;
    }
    let there = |command: &str| {
        let args = ["-t", &pid, "-n", "bash", "-c", command].map(str::to_owned);
        async move { run("nsenter", &args.each_ref().map(String::as_str)).await }
    };
    run("ip", &["link", "set", "lo", "up"]).await;
    run("ip", &["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &pid]).await;
    run("ip", &["addr", "add", "10.99.0.1/24", "dev", "near"]).await;
    run("ip", &["link", "set", "near", "up"]).await;
    there("ip addr add 10.99.0.2/24 dev far && ip link set far up").await;

    let (keep_alive, user_timeout) = (Duration::from_secs(1), Duration::from_secs(3));
    let options = StreamOptions::new().keep_alive(keep_alive);
    let hub = Hub::builder().stream_options(options).build();
    let listen = ListenOptions::new().user_timeout(user_timeout);
    let server = framework.serve(App { listen, address: SERVER.into(), ..App::new(hub) }).await;
    let get = format!(
        "exec 3<>/dev/tcp/10.99.0.1/{}; printf 'GET /events HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3; exec cat <&3",
        server.addr.port()
    );
    let _client = Command::new("nsenter")
        .args(["-t", &pid, "-n", "bash", "-c", &get])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let start = Instant::now();
    while server.hub.lifecycle().streams() == 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "the client does not come");
        sleep(Duration::from_millis(10)).await;
    }
    // Longer than the user timeout: an idle client that is there is not cut.
    sleep(2 * user_timeout).await;
    assert_eq!(server.hub.lifecycle().streams(), 1);

    // What the server sends still arrives; nothing comes back.
    there("ip route add blackhole 10.99.0.1/32").await;
    let start = Instant::now();
    while server.hub.lifecycle().streams() == 1 {
        assert!(start.elapsed() < Duration::from_secs(30), "nobody notices");
        sleep(Duration::from_millis(10)).await;
    }
    println!("{framework}: noticed after {:.1} s", start.elapsed().as_secs_f64());
}
