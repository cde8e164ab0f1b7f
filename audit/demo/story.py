"""The story: one LoRA from the request to the audit, on real photographs, with eight planted noes.

Read top to bottom. Each act is one of the nine stages, in the order in which they happen:
curation runs before the approvals, because its report is part of what people sign.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from django.utils import timezone

from audit.demo import intruder, receipts
from audit.demo.people import Unexpected, Visitor, Wire
from audit.demo.screen import Screen
from audit.demo.world import World
from registry.core.refusals import Refusal
from registry.core.terms import Terms
from registry.log.models import Entry
from training.core import weights
from training.trainer.config import load_preset

JOB_LIMIT_S: Final = 900.0
FINAL: Final = frozenset({"done", "refused", "stopped", "failed"})


@dataclass(frozen=True)
class Photos:
    """What is uploaded: file name and bytes. `second_person` is planted and must be refused."""

    talent: tuple[tuple[str, bytes], ...]
    references: tuple[tuple[str, bytes], ...]
    second_person: bytes
    about: tuple[str, str]
    reason: str  # why the craft's points are taken on; part of what everybody signs


@dataclass
class Story:
    """One run through all stages."""

    world: World
    photos: Photos
    screen: Screen
    request: str = ""
    grant: str = ""
    job: str = ""
    delivery: str = ""
    delivered: bytes = b""
    adapter: Path = Path()
    trace: dict[str, Any] = field(default_factory=dict)
    log_before: int = field(default_factory=Entry.objects.count)

    def tell(self) -> None:
        """All acts. Raises `Unexpected` as soon as the site answers otherwise than it must."""
        self.charlie = Wire({"Authorization": f"Bearer {self.world.api_key}"})
        self.dana = Wire({"Authorization": f"Bearer {self.world.client_key}"})
        self.studio = Visitor(self.world.charlie)
        self.bob, self.alice = Visitor(self.world.bob), Visitor(self.world.alice)
        for person in (self.alice, self.bob, self.studio):
            person.enrol()
        self.ask()
        self.curate()
        self.clear()
        self.gate()
        self.train()
        self.deliver()
        self.audit()
        self.withdraw()

    # --- 1 ---------------------------------------------------------------------------------------

    def ask(self) -> None:
        """A photographer asks through the API."""
        self.screen.stage(1)
        barred = self.charlie.post("/api/v1/requests", self._request(self.world.barred_base.pk))
        self.screen.refusal(barred.no("base_licence"), self.world.barred_base.name)
        made = self.charlie.post("/api/v1/requests", self._request(self.world.base.pk)).yes()
        self.request = made["id"]
        self.screen.say(
            f"申請 {self.request}: 電子写真集、日本国内、90日、2回まで学習",
            "request filed: e-photobook, Japan, 90 days, at most 2 runs",
        )

    def _request(self, base: str) -> dict[str, Any]:
        today = timezone.localdate()
        terms = Terms(
            media=("photobook_ebook",),
            client="みどり出版",
            product="電子写真集『春の港』",
            territory=("JP",),
            start=today,
            end=today + timedelta(days=90),
            purpose="電子写真集のうち、背景を替えた場面の画像を作る",
            transformations=("background_only", "wardrobe"),
            fee_jpy=300_000,
            replaces_booked_shoot=False,
        )
        recipe = load_preset("tiny_cpu").to_dict()
        return {
            "licensee": self.world.client.pk,
            "talents": [self.world.talent.pk],
            "base_model": base,
            "terms": terms.to_payload(),
            "recipe": recipe,
            # One to train and one to be withdrawn from; what the gate refuses counts as none.
            "max_runs": 2,
            "sign_by": (timezone.now() + timedelta(days=7)).isoformat(),
        }

    # --- 5, before 2 -----------------------------------------------------------------------------

    def curate(self) -> None:
        """The pictures go up, every face is looked at, the set is sealed."""
        self.screen.stage(5)
        self.screen.say(*self.photos.about)
        address = f"/api/v1/requests/{self.request}"
        with self.screen.progress("写真 / pictures ") as bar:
            total = len(self.photos.talent) + len(self.photos.references) + 1
            task = bar.add_task("", total=total, note="")
            for _, data in self.photos.references:
                self.charlie.send(f"{address}/references", data, "image/jpeg").yes()
                bar.advance(task)
            for _, data in self.photos.talent:
                self.charlie.send(f"{address}/pictures", data, "image/jpeg").yes()
                bar.advance(task)
            stray = self.charlie.send(
                f"{address}/pictures", self.photos.second_person, "image/jpeg"
            ).yes()
            bar.advance(task)
        self.charlie.post(f"{address}/curation").yes()
        self.screen.refusal(
            self.charlie.post(f"{address}/seal").no("unknown_face"), "二人目 / a second person"
        )
        self._declare(f"{address}/rights")
        left_out = {"accepted": False}
        self.charlie.patch(f"{address}/pictures/{stray['id']}", left_out).yes()
        report = self.charlie.post(f"{address}/curation").yes()
        self._take_on(address, report["findings"])
        sealed = self.charlie.post(f"{address}/seal").yes()
        self.grant = sealed["grant"]
        self.screen.say(
            f"{len(self.photos.talent)}枚すべてに本人だけを確認し、封印しました。"
            f" 署名の対象 {sealed['grant_digest'][:16]}…",
            f"the talent and nobody else in all {len(self.photos.talent)} pictures; sealed",
        )

    def _declare(self, address: str) -> None:
        """Whose the photographs are: having the files is no right to train on them."""
        shoot = {
            "shot_on": timezone.localdate().isoformat(),
            "client": "スタジオ港(デモ)",
            "purpose": "この実演のための撮影",
        }
        rights = {
            "shoot": shoot,
            "holder": self.world.charlie.person.pk,
            "moral_rights": True,
            # Own pictures may name their maker otherwise than the demonstration's photographer.
            "creator_note": self.photos.reason[:500],
        }
        self.charlie.post(address, {**rights, "basis": "30-4"}).no("uncleared_copyright")
        self.charlie.post(address, {**rights, "basis": "owner"}).yes()
        self.screen.say(
            "写真ごとに撮影・著作権者・根拠を届け出(30条の4は根拠になりません)",
            "shoot, copyright holder and basis declared for every picture",
        )

    def _take_on(self, address: str, findings: list[dict[str, Any]]) -> None:
        for code, kind in sorted({(item["code"], item["kind"]) for item in findings}):
            found = next(item for item in findings if item["code"] == code)
            self.screen.say(f"指摘 {code}: {found['ja']}", f"{kind}: {found['en']}")
        open_points = [item for item in findings if item["kind"] in {"hard", "review"}]
        if open_points:
            named = ", ".join(f"{x['code']} {' '.join(x['pictures'])}" for x in open_points)
            raise Unexpected(f"replace these pictures, or leave them out: {named}")
        for code in sorted({item["code"] for item in findings if item["kind"] == "soft"}):
            body = {"code": code, "reason": self.photos.reason}
            self.charlie.post(f"{address}/curation/accept", body).yes()

    # --- 2 and 3 ---------------------------------------------------------------------------------

    def clear(self) -> None:
        """Everybody signs with a key of their own; nobody can for anybody else."""
        self.screen.stage(2)
        forged = self.alice.approve(self.grant, "talent", hand=self.world.bob)
        self.screen.refusal(
            forged.no("bad_signature"), "事務所の鍵で本人として / the agency's key as the talent"
        )
        self.bob.approve(self.grant, "agency_officer").yes()
        self.studio.approve(self.grant, "photo_copyright").yes()
        self.screen.say("事務所と写真の著作権者が署名", "agency and copyright holder signed")
        early = self.charlie.post(f"/api/v1/requests/{self.request}/jobs")
        self.screen.refusal(
            early.no("approval_missing:talent"), "本人の承認の前に / before the talent's approval"
        )
        self.alice.approve(self.grant, "talent").yes()
        self.screen.stage(3)
        self.screen.say(
            f"全員の署名がそろい、許諾 {self.grant} が成立",
            "all have signed the same bytes; the grant is made",
        )

    # --- 4 ---------------------------------------------------------------------------------------

    def gate(self) -> None:
        """Without a token there are no pixels; other pictures than those signed are refused."""
        self.screen.stage(4)
        code = intruder.train_without_token(self.request)
        self._expect(code, "no_token", "トークンなしの学習 / training without a token")
        with intruder.swapped_picture(self.request, self.photos.second_person):
            job = self._queue()
            state = self._follow(job, "差し替え / swapped")
            code = (state.get("refusal") or {}).get("code", state["state"])
        self._expect(code, "dataset_mismatch", "承認後に写真を差し替え / a picture swapped")

    def _expect(self, code: str, wanted: str, where: str) -> None:
        if code != wanted:
            raise Unexpected(f"expected {wanted}, got {code}")
        self.screen.refusal(code, where)

    def _queue(self) -> str:
        job = self.charlie.post(f"/api/v1/requests/{self.request}/jobs").yes()["id"]
        return str(job)

    # --- 6 ---------------------------------------------------------------------------------------

    def train(self) -> None:
        """The run itself, then the same token once more."""
        self.screen.stage(6)
        self.job = self._queue()
        state = self._follow(self.job, "学習 / training")
        if state["state"] != "done":
            raise Unexpected(f"the run ended {state['state']}: {state['refusal']}")
        first, last = state["points"][0], state["points"][-1]
        self.screen.say(
            f"{state['steps']}ステップ、損失 {first[1]:.3f} → {last[1]:.3f}",
            f"{state['steps']} steps, loss {first[1]:.3f} to {last[1]:.3f}",
        )
        self._expect(
            intruder.present_again(self.job), "replayed", "同じトークンを再び / the token again"
        )

    def _follow(self, job: str, label: str, until_step: int | None = None) -> dict[str, Any]:
        """Watch a job until it ends, or has reached a step."""
        deadline = time.monotonic() + JOB_LIMIT_S
        with self.screen.progress(label) as bar:
            task = bar.add_task("", total=None, note="")
            while True:
                state = self.charlie.get(f"/api/v1/jobs/{job}").yes()
                points = state["points"]
                note = f"loss {points[-1][1]:.3f}" if points else state["state"]
                bar.update(task, completed=state["step"], total=state["steps"], note=note)
                if state["state"] in FINAL:
                    return state
                if until_step is not None and state["step"] >= until_step:
                    return state
                if time.monotonic() > deadline:
                    raise Unexpected(f"job {job} did not end: {state['state']}")
                time.sleep(0.5)

    # --- 7 and 8 ---------------------------------------------------------------------------------

    def deliver(self) -> None:
        """One recipient's copy: marked, encrypted to their key, fetched by its link."""
        self.screen.stage(7)
        seen = self._measured()
        self.screen.say(
            f"見本 {seen['samples']} 枚のうち顔あり {seen['faces']} 枚。"
            f" {' '.join(item['ja'] for item in seen['findings'])}",
            "samples measured before delivery: likeness, effect, leaks, resemblance to others",
        )
        made = self.charlie.post(f"/api/v1/jobs/{self.job}/deliveries").yes()
        self.delivery = made["id"]
        self.screen.say(
            "納品先ごとの透かしを入れ、納品するファイルから読み戻して確認",
            "marked for this recipient and read back from the very file that goes out",
        )
        self.screen.stage(8)
        fetched = self.dana.post(made["link"])
        fetched.yes()
        self.adapter, printed = receipts.open_parcel(
            self.request, fetched.content, self.world.age_identity
        )
        self.delivered = self.adapter.read_bytes()
        adapter = weights.read(self.delivered)
        self.screen.say(
            f"{made['id']}: {len(self.delivered):,} バイト、テンソル {len(adapter.tensors)} 個。"
            f" 名前・説明文・パスなし → {receipts.shown(self.adapter.parent)}",
            "encrypted to the licensee's key; `kyodaku open` checks and unpacks it; no name inside",
        )
        self.screen.console.print(printed.rstrip(), markup=False)
        measured = receipts.try_out(
            self.request, self.adapter, intruder.base_folder(self.world.base.sha256)
        )
        self.screen.say(
            f"diffusers で読み込み {measured['loaded']}/{measured['in_file']}、"
            f"画素の平均変化 {measured['change']:.3f}、外すと {measured['restored']:.3f}"
            f" → {receipts.shown(receipts.folder(self.request) / 'samples.png')}",
            "pipe.load_lora_weights: all tensors loaded, the pictures change, unloading restores",
        )

    def _measured(self) -> dict[str, Any]:
        """What the samples showed; measured right after sealing, and nothing goes out before."""
        deadline = time.monotonic() + JOB_LIMIT_S
        while time.monotonic() < deadline:
            seen: dict[str, Any] | None = self.charlie.get(f"/api/v1/jobs/{self.job}").yes()[
                "probe"
            ]
            if seen is not None:
                return dict(seen)
            time.sleep(0.5)
        raise Unexpected(f"the samples of {self.job} were not measured")

    # --- 9 ---------------------------------------------------------------------------------------

    def audit(self) -> None:
        """A use is reported; a disguised copy is recognised; the evidence verifies offline."""
        self.screen.stage(9)
        use = {
            "medium": "photobook_ebook",
            "country": "JP",
            "first_day": timezone.localdate().isoformat(),
            "quantity": 120,
        }
        self.dana.post(f"/api/v1/deliveries/{self.delivery}/uses", use).yes()
        disguised = intruder.disguise(self.delivered)
        self.trace = self.charlie.send("/api/v1/trace", disguised, "application/octet-stream").yes()
        if not self.trace.get("found") or self.trace.get("grant") != self.grant:
            raise Unexpected(f"the disguised copy was not traced: {self.trace}")
        self.screen.say(
            f"追跡 TRACE: {self.trace['sentence']} (方法 {self.trace['how']}、許諾 {self.grant})",
            "renamed, stripped, fp16-converted copy: found by its "
            f"{self.trace['how']}; its licence is {self.grant}",
        )
        pack = self.charlie.get(f"/api/v1/deliveries/{self.delivery}/evidence")
        pack.yes()
        verdict, away = receipts.verify_offline(self.request, pack.content, self.adapter)
        if away:
            self.screen.say("証跡一式をネットワークなしで検証", "evidence, network taken away:")
        else:
            self.screen.say(
                "証跡一式を検証(この機械ではネットワークを切り離せません)",
                "evidence (this machine does not let a program give its network up):",
            )
        self.screen.console.print(verdict.rstrip(), markup=False)
        if "VERIFIED" not in verdict or "NOT VERIFIED" in verdict:
            raise Unexpected("the evidence pack does not verify")

    # --- the right to stop -----------------------------------------------------------------------

    def withdraw(self) -> None:
        """A second run is under way; the talent withdraws; it stops and leaves nothing."""
        self.screen.title("撤回", "withdrawal in the middle of a second run")
        job = self._queue()
        self._follow(job, "2回目 / second run", until_step=3)
        self.alice.post(f"/api/v1/grants/{self.grant}/withdraw", {"reason": ""}).yes()
        state = self._follow(job, "停止 / stopping")
        code = (state.get("refusal") or {}).get("code", state["state"])
        self._expect(code, "withdrawn", f"ステップ {state['step']} で停止 / stopped")
        report = state.get("stop_report") or {}
        wiped = report.get("wiped") or {}
        if state["state"] != "stopped" or wiped.get("left") != 0:
            raise Unexpected(f"not a confirmed stop: {state['state']} {report}")
        self.screen.say(
            f"消去を確認: {wiped.get('files')} 個 {wiped.get('bytes'):,} バイト、残り 0",
            "confirmed stopped; weights, optimiser, caches and pictures wiped, nothing left",
        )
        refused = self.charlie.post(f"/api/v1/requests/{self.request}/jobs")
        if not refused.code:
            raise Unexpected("a withdrawn grant still takes jobs")
        self.screen.say(
            f"次の学習: {Refusal(refused.code).sentence('ja')}",
            f"the next run: {Refusal(refused.code).sentence('en')}",
        )
