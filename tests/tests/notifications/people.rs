//! What people see: two of them, side by side, in real browsers.

use std::time::Duration;

use fantoccini::wd::WindowHandle;
use serde_json::{Value, json};
use sse_tests::{
    browser::Browser,
    clients::{self, Client},
    servers::Framework,
};

use crate::{By, streams, to};

pub(crate) async fn two_people_in_chromium(framework: Framework, by: By) {
    two_people_in(Client::Chromium, framework, by).await;
}

pub(crate) async fn two_people_in_firefox(framework: Framework, by: By) {
    two_people_in(Client::Firefox, framework, by).await;
}

/// The form, which says why it is there.
const ENDED: &str = "!document.getElementById('signin').hidden
    && document.getElementById('why').textContent.startsWith('Your session has ended')";

/// Two people in two tabs, side by side. By a session all tabs of an address are one person: each has an address.
async fn two_people_in(client: Client, framework: Framework, by: By) {
    let Some(browser) = clients::browser(client).await else {
        return;
    };
    let example = by.start(framework).await;
    let url = format!("http://{}/", example.addr);
    let url_of_bob = match by {
        By::Token => url.clone(),
        By::Session => format!("http://localhost:{}/", example.addr.port()),
    };
    browser.client().goto(&url).await.unwrap();
    let ada = browser.client().window().await.unwrap();
    let bob = browser.client().new_window(true).await.unwrap().handle;
    to(&browser, &bob).await;
    browser.client().goto(&url_of_bob).await.unwrap();
    enter(&browser, "bob").await;
    to(&browser, &ada).await;
    enter(&browser, "ada").await;

    // For one, and for all.
    to(&browser, &bob).await;
    send(&browser, "ada", "only for ada").await;
    send(&browser, "", "for everybody").await;
    browser.wait_for("document.querySelectorAll('#inbox li').length === 1").await;
    assert_eq!(titles(&browser).await, json!(["for everybody"]));
    to(&browser, &ada).await;
    browser.wait_for("document.querySelectorAll('#inbox li').length === 2").await;
    assert_eq!(titles(&browser).await, json!(["for everybody", "only for ada"]));
    let ages = browser
        .run(
            "return [...document.querySelectorAll('#inbox time')].filter(time => time.textContent)
                 .map(time => Math.abs(Date.now() - Date.parse(time.dateTime)))",
        )
        .await;
    let ages: Vec<f64> = serde_json::from_value(ages).unwrap();
    assert!(ages.len() == 2 && ages.iter().all(|age| *age < 60_000.0), "{ages:?}");

    // A cut: what was missed arrives, once, and says so.
    browser.run("document.getElementById('cut').click()").await;
    browser.wait_for("document.getElementById('state').dataset.state === 'cut'").await;
    to(&browser, &bob).await;
    send(&browser, "ada", "missed 1").await;
    send(&browser, "ada", "missed 2").await;
    to(&browser, &ada).await;
    browser.wait_for("document.querySelectorAll('#inbox li').length >= 4").await;
    assert_eq!(titles(&browser).await, json!(["missed 2", "missed 1", "for everybody", "only for ada"]));
    assert_eq!(browser.run("return document.querySelectorAll('#inbox li.missed').length").await, 2);

    // The cookie is that of who signed in last: ada. Native EventSource goes on where fetch was.
    browser.run("document.getElementById('native').click()").await;
    browser.wait_for("document.getElementById('state').dataset.state === 'open'").await;
    send(&browser, "ada", "to myself").await;
    browser.wait_for("document.querySelectorAll('#inbox li').length >= 5").await;
    assert_eq!(titles(&browser).await[0], "to myself");
    browser.run("document.getElementById('native').click()").await;
    browser.wait_for("document.getElementById('state').dataset.state === 'open'").await;

    // Signing out ends the stream here and there, and offers to sign in again: at once.
    let slowest = browser
        .client()
        .execute_async(
            "const [done] = arguments;
             const before = performance.now();
             const form = document.getElementById('signin');
             new MutationObserver(() => { if (!form.hidden) done(performance.now() - before); })
                 .observe(form, { attributes: true });
             document.getElementById('logout').click();",
            Vec::new(),
        )
        .await
        .unwrap();
    assert!(slowest.as_f64().unwrap() < 1000.0, "{slowest} ms");
    let out = "return [document.getElementById('state').dataset.state, document.getElementById('inside').hidden,
                       document.getElementById('logout').hidden, document.querySelectorAll('#inbox li').length,
                       document.activeElement === document.getElementById('login').user]";
    assert_eq!(browser.run(out).await, json!(["out", true, true, 0, true]));
    while streams(example.addr).await != "sse_streams_open 1" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    to(&browser, &bob).await;
    send(&browser, "ada", "while ada was out").await;
    assert_eq!(browser.run("return document.getElementById('state').dataset.state").await, "open");

    // Somebody else in the same tab sees nothing of it.
    to(&browser, &ada).await;
    enter(&browser, "grace").await;
    assert_eq!(browser.run("return document.getElementById('who').textContent").await, "grace");
    send(&browser, "grace", "to myself").await;
    browser.wait_for("document.querySelectorAll('#inbox li').length === 1").await;

    // A session that ended elsewhere: after a reload too there is a form that says so.
    let token = browser.run("return sessionStorage.getItem('token')").await;
    let (keep, headers) = match by {
        By::Token => (
            format!("sessionStorage.setItem('user', 'grace'); sessionStorage.setItem('token', {token});"),
            format!("{{ Authorization: 'Bearer ' + {token} }}"),
        ),
        By::Session => ("localStorage.setItem('user', 'grace');".to_owned(), "{}".to_owned()),
    };
    assert_eq!(token.is_null(), by == By::Session);
    for _ in 0..2 {
        browser.run(&format!("{keep} fetch('/logout', {{ method: 'POST', headers: {headers} }})")).await;
        browser.wait_for(ENDED).await;
        // As a tab that has heard nothing of it.
        browser.run(&keep).await;
        browser.client().refresh().await.unwrap();
    }
    browser.wait_for(ENDED).await;
    enter(&browser, "grace").await;
    if by == By::Session {
        one_session_in_two_tabs(&browser, &url, &ada).await;
    }
    browser.close().await;
}

/// All tabs of a browser share the session's cookie: no tab shows one person's name and another's stream.
async fn one_session_in_two_tabs(browser: &Browser, url: &str, first: &WindowHandle) {
    // A tab may be in the middle of loading its page anew.
    const FORM: &str = "document.getElementById('signin')?.hidden === false";
    let second = browser.client().new_window(true).await.unwrap().handle;
    let who = |name: &str| {
        format!(
            "document.getElementById('who')?.textContent === '{name}'
                 && document.getElementById('state')?.dataset.state === 'open'"
        )
    };
    to(browser, &second).await;
    browser.client().goto(url).await.unwrap();
    browser.wait_for(&who("grace")).await;
    browser.run("document.getElementById('logout').click()").await;
    browser.wait_for(FORM).await;
    to(browser, first).await;
    browser.wait_for(FORM).await;
    to(browser, &second).await;
    enter(browser, "ada").await;
    to(browser, first).await;
    browser.wait_for(&who("ada")).await;
}

async fn enter(browser: &Browser, user: &str) {
    let script = format!(
        "const form = document.getElementById('login'); form.user.value = '{user}'; form.requestSubmit();"
    );
    browser.run(&script).await;
    browser.wait_for("document.getElementById('state').dataset.state === 'open'").await;
}

async fn send(browser: &Browser, user: &str, title: &str) {
    let script = format!(
        "const form = document.getElementById('notify'); form.to.value = '{user}'; form.title.value = '{title}';
         form.requestSubmit();"
    );
    browser.run(&script).await;
    // The form is emptied when it was sent.
    browser.wait_for("document.getElementById('notify').title.value === ''").await;
}

async fn titles(browser: &Browser) -> Value {
    browser
        .run("return [...document.querySelectorAll('#inbox strong')].map(title => title.textContent)")
        .await
}
