//! Pictures of the pages, for people to look at.

use std::{fs, path::Path};

use fantoccini::Locator;
use serde_json::json;
use sse_tests::{
    browser::Browser,
    clients::{self, Client},
    examples::Example,
    servers::Framework,
};

use super::{PAGES, SCHEMES, SIZES, open, start};

/// Each page in each browser, scheme and size, into `target/pages`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes pictures"]
async fn of_every_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pages");
    fs::create_dir_all(&folder).unwrap();
    for client in [Client::Chromium, Client::Firefox] {
        let Some(browser) = clients::browser(client).await else {
            continue;
        };
        for page in PAGES {
            let example = start(&page).await;
            for scheme in SCHEMES {
                for (size, width, height) in SIZES {
                    open(&browser, &example, &page, scheme, (width, height)).await;
                    let tab = browser.client();
                    tab.enter_parent_frame().await.unwrap();
                    let frame = tab.find(Locator::Id("loaded")).await.unwrap();
                    let picture = frame.screenshot().await.unwrap();
                    fs::write(folder.join(format!("{}-{scheme}-{size}-{client}.png", page.name)), picture)
                        .unwrap();
                }
            }
        }
        browser.close().await;
    }
}

/// The README's: two people side by side, one of whom was away. Into `docs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes a picture"]
async fn of_two_people() {
    const SIZE: (u32, u32) = (620, 760);
    let example = Example::start(Framework::Actix, "notifications").await;
    let browser = Browser::start_with(&["--hide-scrollbars"]).await.unwrap();
    let tab = browser.client();
    let ada = tab.window().await.unwrap();
    let bob = tab.new_window(true).await.unwrap().handle;
    for (window, user) in [(&bob, "bob"), (&ada, "ada")] {
        tab.switch_to_window(window.clone()).await.unwrap();
        resize(&browser, SIZE).await;
        tab.goto(&format!("http://{}/", example.addr)).await.unwrap();
        let script = "document.getElementById('login').user.value = arguments[0];
                      document.getElementById('login').requestSubmit();";
        tab.execute(script, vec![json!(user)]).await.unwrap();
        browser.wait_for("document.getElementById('state').dataset.state === 'open'").await;
    }
    tab.switch_to_window(bob.clone()).await.unwrap();
    send(&browser, "ada", "The report is ready", "All 14 pages of it.").await;
    tab.switch_to_window(ada.clone()).await.unwrap();
    browser.wait_for("document.querySelectorAll('#inbox li').length === 1").await;
    send(&browser, "", "Lunch at noon", "Who comes along?").await;
    browser.wait_for("document.querySelectorAll('#inbox li').length === 2").await;
    browser.run("document.getElementById('cut').click()").await;
    tab.switch_to_window(bob.clone()).await.unwrap();
    send(&browser, "ada", "Count me in", "").await;
    send(&browser, "ada", "And bring an umbrella", "It is pouring.").await;
    tab.switch_to_window(ada.clone()).await.unwrap();
    browser.wait_for("document.querySelectorAll('#inbox li').length === 4").await;
    browser.wait_for("document.getElementById('state').dataset.state === 'open'").await;

    let folder = tempfile::tempdir().unwrap();
    let mut images = String::new();
    for (window, user) in [(&ada, "ada"), (&bob, "bob")] {
        tab.switch_to_window(window.clone()).await.unwrap();
        browser.run("document.activeElement.blur(); for (const moving of document.getAnimations()) moving.finish()").await;
        fs::write(folder.path().join(format!("{user}.png")), tab.screenshot().await.unwrap()).unwrap();
        images += &format!("<img src={user}.png>");
    }
    let both = folder.path().join("both.html");
    let style = "body { margin: 0; display: flex; gap: 12px; background: #c5ccd9 }";
    fs::write(&both, format!("<!doctype html><style>{style}</style>{images}")).unwrap();
    resize(&browser, (2 * SIZE.0 + 12, SIZE.1)).await;
    tab.goto(&format!("file://{}", both.display())).await.unwrap();
    browser.wait_for("[...document.images].every(image => image.complete && image.naturalWidth)").await;
    let picture = tab.screenshot().await.unwrap();
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/notifications.png"), picture).unwrap();
    browser.close().await;
}

/// Makes the inside of the window as large as this.
async fn resize(browser: &Browser, (width, height): (u32, u32)) {
    let frame = browser.run("return [outerWidth - innerWidth, outerHeight - innerHeight]").await;
    let edge = |index: usize| u32::try_from(frame[index].as_u64().unwrap()).unwrap();
    browser.client().set_window_size(width + edge(0), height + edge(1)).await.unwrap();
}

async fn send(browser: &Browser, to: &str, title: &str, body: &str) {
    let script = "const form = document.getElementById('notify');
                  [form.to.value, form.title.value, form.body.value] = arguments;
                  form.requestSubmit();";
    browser.client().execute(script, vec![json!(to), json!(title), json!(body)]).await.unwrap();
    browser.wait_for("document.getElementById('notify').title.value === ''").await;
    browser.run("document.getElementById('notify').reset()").await;
}
