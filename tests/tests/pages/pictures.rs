//! Pictures of the pages, for people to look at.

use std::{fs, path::Path};

use fantoccini::Locator;
use sse_tests::clients::{self, Client};

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
