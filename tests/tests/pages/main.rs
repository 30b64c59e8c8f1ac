//! What the examples' pages look like: nothing is too pale, cut off or without a name, on a phone and on a desk, by
//! day and by night. The pages are the same on each framework.
//!
//! `cargo test -p sse-tests --test pages -- --ignored` takes pictures of all of it, and the README's anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

mod pictures;

use serde_json::json;
use sse_tests::{
    browser::Browser,
    clients::{self, Client},
    examples::Example,
    servers::Framework,
};

/// Width and height of a window.
pub(crate) const SIZES: [(&str, u32, u32); 2] = [("phone", 360, 740), ("desktop", 1280, 800)];
pub(crate) const SCHEMES: [&str; 2] = ["light", "dark"];

/// A page, and how it comes to show what is to be looked at.
pub(crate) struct Page {
    pub(crate) name: &'static str,
    bin: &'static str,
    /// Each a script, and what is true when it has done its work.
    steps: &'static [(&'static str, &'static str)],
}

pub(crate) const PAGES: [Page; 6] = [
    Page {
        name: "quickstart",
        bin: "quickstart",
        steps: &[
            ("", "document.getElementById('state').className === 'open'"),
            (
                "const form = document.getElementById('publish');
                 form.text.value = 'The ferry leaves from pier 4.';
                 form.requestSubmit();
                 show('Some events were lost (trimmed).', 'x-1', 'gap');",
                "document.querySelectorAll('#log li').length === 2",
            ),
        ],
    },
    Page {
        name: "tokens",
        bin: "tokens",
        steps: &[(
            "document.getElementById('ask').click();",
            "document.getElementById('answer').textContent.length > 200",
        )],
    },
    Page {
        name: "progress",
        bin: "progress",
        steps: &[(
            "const job = letter => letter.repeat(32);
             card(job('e'));
             show('running', { job: job('a'), file: 'customers.csv', done: 1240, rows: 5000 });
             show('running', { job: job('b'), file: 'a_file_with_a_rather_long_name_and_no_blank_in_it.csv', done: 3, rows: 1000000 });
             show('finished', { job: job('c'), file: 'orders.csv', rows: 12000, seconds: 24.3 });
             show('cancelled', { job: job('d'), file: 'mistake.csv', done: 400, rows: 900 });
             document.getElementById('problem').textContent = 'Enough jobs are running.';
             document.getElementById('problem').hidden = false;",
            "document.querySelectorAll('li').length === 5",
        )],
    },
    Page {
        name: "signed-out",
        bin: "notifications",
        steps: &[("leave('Your session has ended. Please sign in again.');", "true")],
    },
    Page { name: "empty", bin: "notifications", steps: &[SIGN_IN] },
    Page {
        name: "notifications",
        bin: "notifications",
        steps: &[
            SIGN_IN,
            (
                "document.getElementById('demo').open = true;
                 list('', 'Lunch at noon', 'Who comes along?', { from: 'ada', way: 'ada → everybody' });
                 list('', 'A report_with_a_rather_long_name_and_no_blank_in_it.pdf', 'All 14 pages of it.',
                      { from: 'grace', way: 'grace → ada', at: Date.now() - 2 * 86_400_000 });
                 list('missed', 'Count me in', '', { from: 'bob', way: 'bob → ada' });
                 list('gap', 'Some notifications are lost', 'Reason: trimmed.');
                 list('problem', 'Not sent', '413: The body is too large.');",
                "document.querySelectorAll('#inbox li').length === 5",
            ),
        ],
    },
];

const SIGN_IN: (&str, &str) = (
    "const form = document.getElementById('login'); form.user.value = 'ada'; form.requestSubmit();",
    "document.getElementById('state').dataset.state === 'open'",
);

/// Opens the page in a frame of this size, as browsers' windows have a least width of their own, in this scheme, and has
/// it show what is to be looked at.
pub(crate) async fn open(
    browser: &Browser,
    example: &Example,
    page: &Page,
    scheme: &str,
    (width, height): (u32, u32),
) {
    let client = browser.client();
    client.set_window_size(1400, 1000).await.unwrap();
    client.goto(&format!("http://{}/", example.addr)).await.unwrap();
    browser
        .run(&format!(
            "sessionStorage.clear();
             const frame = document.createElement('iframe');
             frame.style = 'position: fixed; inset: 0 auto auto 0; border: 0; width: {width}px; height: {height}px';
             frame.src = '/';
             frame.onload = () => {{ frame.id = 'loaded'; }};
             document.body.replaceChildren(frame);"
        ))
        .await;
    browser.wait_for("document.getElementById('loaded')").await;
    client.enter_frame(0).await.unwrap();
    assert_eq!(browser.run("return innerWidth").await, width);
    browser.run(&format!("document.documentElement.style.colorScheme = '{scheme}'")).await;
    for (script, done) in page.steps {
        // In the page's own scope, which not every driver's scripts share.
        let script = serde_json::to_string(script).unwrap();
        browser
            .run(&format!(
                "const script = document.createElement('script');
                 script.textContent = `{{${{{script}}}}}`;
                 document.head.append(script);"
            ))
            .await;
        browser.wait_for(done).await;
    }
    // What moves into place is looked at there.
    browser.run("for (const moving of document.getAnimations()) moving.finish()").await;
}

pub(crate) async fn start(page: &Page) -> Example {
    Example::start(Framework::Actix, page.bin).await
}

async fn nothing_is_wrong_in(client: Client) {
    let Some(browser) = clients::browser(client).await else {
        return;
    };
    for page in PAGES {
        let example = start(&page).await;
        for scheme in SCHEMES {
            for (size, width, height) in SIZES {
                open(&browser, &example, &page, scheme, (width, height)).await;
                let wrong = browser.run(include_str!("audit.js")).await;
                assert_eq!(wrong, json!([]), "{}, {scheme}, {size}, in {client}", page.name);
            }
        }
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_wrong_in_chromium() {
    nothing_is_wrong_in(Client::Chromium).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_wrong_in_firefox() {
    nothing_is_wrong_in(Client::Firefox).await;
}
