//! Small histories for the tests of the rules.

use std::ops::Range;

use crate::check::{Rule, Rules, Verdict, check};
use crate::event::{How, Op, Phase, Status, Submission, View, What};
use crate::history::History;

/// A history that is written down in a few words; times are milliseconds.
#[derive(Default)]
pub(crate) struct Scene {
    events: Vec<String>,
    calls: u64,
}

impl Scene {
    pub(crate) fn terms(token: &str) -> Submission {
        Submission {
            token: token.to_owned(),
            ..Submission::default()
        }
    }

    pub(crate) fn view(job: &str, status: Status) -> View {
        View {
            job: job.to_owned(),
            status,
            ..View::default()
        }
    }

    /// Every event goes through its line of JSON.
    fn push(&mut self, at: i64, what: What) {
        self.events.push(what.at(at).to_line());
    }

    fn call(&mut self, node: &str, asked: i64, op: Op) -> u64 {
        self.calls += 1;
        let (call, client, node) = (self.calls, "client".to_owned(), node.to_owned());
        let invoke = What::Invoke {
            call,
            client,
            node,
            op,
        };
        self.push(asked, invoke);
        call
    }

    pub(crate) fn submitted(&mut self, span: Range<i64>, terms: Submission, job: &str) {
        let call = self.call("one", span.start, Op::Submit(terms));
        let view = Some(Self::view(job, Status::Queued));
        self.push(span.end, What::Ok { call, view });
    }

    pub(crate) fn accepted(&mut self, span: Range<i64>, token: &str, job: &str) {
        let call = self.call("one", span.start, Op::Submit(Self::terms(token)));
        let view = Some(Self::view(job, Status::Queued));
        self.push(span.end, What::Ok { call, view });
    }

    pub(crate) fn unknown(&mut self, span: Range<i64>, token: &str) {
        let call = self.call("one", span.start, Op::Submit(Self::terms(token)));
        let why = String::new();
        self.push(span.end, What::Info { call, why });
    }

    pub(crate) fn refused(&mut self, span: Range<i64>, token: &str) {
        let call = self.call("one", span.start, Op::Submit(Self::terms(token)));
        let why = String::new();
        self.push(span.end, What::Fail { call, why });
    }

    pub(crate) fn shown(&mut self, node: &str, span: Range<i64>, view: View) {
        let job = view.job.clone();
        let call = self.call(node, span.start, Op::Read { job });
        let view = Some(view);
        self.push(span.end, What::Ok { call, view });
    }

    pub(crate) fn read(&mut self, node: &str, span: Range<i64>, job: &str, status: Status) {
        self.shown(node, span, Self::view(job, status));
    }

    pub(crate) fn read_token(
        &mut self,
        node: &str,
        span: Range<i64>,
        job: &str,
        token: &str,
        status: Status,
    ) {
        let token = Some(token.to_owned());
        let view = View {
            token,
            ..Self::view(job, status)
        };
        self.shown(node, span, view);
    }

    pub(crate) fn last(&mut self, node: &str, span: Range<i64>, job: &str, status: Status) {
        let id = job.to_owned();
        let call = self.call(node, span.start, Op::Final { job: id });
        let view = Some(Self::view(job, status));
        self.push(span.end, What::Ok { call, view });
    }

    pub(crate) fn missing(&mut self, node: &str, span: Range<i64>, job: &str) {
        let job = job.to_owned();
        let call = self.call(node, span.start, Op::Read { job });
        self.push(span.end, What::Ok { call, view: None });
    }

    pub(crate) fn stream(&mut self, node: &str, span: Range<i64>, job: &str, shown: &[Status]) {
        let id = job.to_owned();
        let call = self.call(node, span.start, Op::Read { job: id });
        for status in shown {
            let view = Self::view(job, *status);
            self.push(span.end, What::Seen { call, view });
        }
        let why = "the stream ended".to_owned();
        self.push(span.end, What::Info { call, why });
    }

    pub(crate) fn run(&mut self, span: Range<i64>, job: &str, nonce: &str) {
        self.run_ends(span, job, nonce, How::Succeeded);
    }

    pub(crate) fn run_ends(&mut self, span: Range<i64>, job: &str, nonce: &str, how: How) {
        self.run_whole(span, job, nonce, None, how);
    }

    pub(crate) fn run_token(
        &mut self,
        span: Range<i64>,
        job: &str,
        nonce: &str,
        token: Option<&str>,
    ) {
        self.run_whole(span, job, nonce, token, How::Succeeded);
    }

    fn run_whole(
        &mut self,
        span: Range<i64>,
        job: &str,
        nonce: &str,
        token: Option<&str>,
        how: How,
    ) {
        let (worker, job, nonce) = ("worker".to_owned(), job.to_owned(), nonce.to_owned());
        let token = token.map(str::to_owned);
        let start = What::Start {
            worker: worker.clone(),
            job: job.clone(),
            token,
            nonce: nonce.clone(),
        };
        self.push(span.start, start);
        let end = What::End {
            worker,
            job,
            nonce,
            how,
        };
        self.push(span.end, end);
    }

    pub(crate) fn bad_input(&mut self, at: i64, job: &str) {
        let (worker, why) = ("worker".to_owned(), "it is empty".to_owned());
        let job = job.to_owned();
        self.push(at, What::BadInput { worker, job, why });
    }

    pub(crate) fn orphan(&mut self, at: i64, job: &str) {
        let (job, process) = (job.to_owned(), "sleep (7)".to_owned());
        self.push(at, What::Orphan { job, process });
    }

    pub(crate) fn webhook(&mut self, at: i64, view: View) {
        let delivery = format!("msg_{}", view.job);
        self.push(at, What::Webhook { delivery, view });
    }

    pub(crate) fn fault(&mut self, at: i64, fault: &str, phase: Phase) {
        let fault = fault.to_owned();
        self.push(at, What::Fault { fault, phase });
    }

    pub(crate) fn healed(&mut self, at: i64) {
        self.push(at, What::Healed);
    }

    pub(crate) fn verdict(&self, rules: &Rules) -> Verdict {
        let lines = self.events.join("\n");
        let history = History::from_lines(lines.as_bytes()).expect("what was written can be read");
        check(&history, rules)
    }

    pub(crate) fn broken(&self, rules: &Rules) -> Vec<Rule> {
        let verdict = self.verdict(rules);
        verdict.violations.iter().map(|found| found.rule).collect()
    }
}
