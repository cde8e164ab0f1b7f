"""Every "no" of the product: a stable code, what it means, what to do next, in ja and en.

A refusal is an expected outcome and therefore a value; a broken proof is an exception
(`registry.log.core.errors.VerificationError`) that carries one of the same codes. The texts live in
the pure core, not in a web translation catalogue, because the trainer, the worker and the offline
verifier print them where no web framework is installed.

Codes are permanent words: retire one with a comment, never reuse it.
A code may carry a party after a colon, `approval_missing:talent`; the text is looked up without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Locale = Literal["ja", "en"]


@dataclass(frozen=True)
class Refusal:
    """An expected "no". `code` is stable; `detail` is for people and never parsed."""

    code: str
    detail: str = ""

    @property
    def kind(self) -> str:
        """The code without its party: `approval_missing:talent` -> `approval_missing`."""
        return self.code.partition(":")[0]

    def sentence(self, locale: Locale = "ja") -> str:
        """What happened, in one sentence."""
        return explain(self.code, locale).what

    def next_step(self, locale: Locale = "ja") -> str:
        """What the reader can do about it, in one sentence."""
        return explain(self.code, locale).next


@dataclass(frozen=True)
class Explanation:
    """One code in one language."""

    what: str
    next: str


_PARTIES: Final[dict[str, tuple[str, str]]] = {
    "talent": ("本人", "the talent"),
    "guardian": ("保護者", "the guardian"),
    "agency_officer": ("所属事務所", "the agency"),
    "photo_copyright": ("写真の著作権者", "the photographs' copyright holder"),
    "work_rights": ("作品・衣装の権利者", "the rights holder of the work or costume"),
    "bystander": ("写り込んだ人", "the bystander"),
    "estate": ("遺族", "the estate"),
}

# code: (ja what, ja next, en what, en next)
_TEXTS: Final[dict[str, tuple[str, str, str, str]]] = {
    "no_token": (
        "学習許可トークンがないため、学習を開始できません。",
        "全員の承認をそろえてから、登録簿でトークンの発行を受けてください。",
        "There is no consent token, so training cannot start.",
        "Complete every approval, then let the registry issue a token for this job.",
    ),
    "bad_signature": (
        "署名が、名前のある本人の登録した鍵と一致しません。",
        "承認は本人が自分の端末の鍵で行ってください。代わりの署名は受け付けません。",
        "The signature does not match a key enrolled by the person named.",
        "The person must approve with their own device key; nobody can sign for them.",
    ),
    "base_mismatch": (
        "チェックポイントと元になったモデルに、共通する層がありません。",
        "統合の元になったモデルを、同じ形式(1ファイルかフォルダか)で --base に指定してください。",
        "The checkpoint and the base model have no layer in common.",
        "Name the model it was merged from with --base, in the same form (one file or a folder).",
    ),
    "no_difference": (
        "チェックポイントは、元になったモデルと同じです。",
        "統合されたものはありません。別のファイルを調べてください。",
        "The checkpoint is the base model itself.",
        "Nothing was merged into it. Look at another file.",
    ),
    "malformed": (
        "データの形式が正しくないため、確認できません。",
        "作成したシステムで出力し直してください。",
        "The data is not well formed and cannot be checked.",
        "Produce it again with the system that made it.",
    ),
    "file_changed": (
        "フォルダーの中のファイルが、署名されたときのものと違います。",
        "このファイルは使わず、納品のページから受け取り直してください。",
        "A file in the folder is not the one that was signed.",
        "Do not use it; fetch the delivery again from its page.",
    ),
    "still_sealed": (
        "受け取ったままの、まだ開かれていない納品物です。",
        "kyodaku open で開いてから、中のフォルダーか LoRA を確かめてください。",
        "This is a delivery as it was received; it has not been opened.",
        "Open it with `kyodaku open`, then check the folder or the LoRA in it.",
    ),
    "unknown_key": (
        "信頼している鍵の一覧にない鍵で署名されています。",
        "固定した鍵の一覧(trust.json)が登録簿のものか確かめてください。",
        "It is signed with a key that is not in the pinned key set.",
        "Check that the pinned key set (trust.json) is the registry's own.",
    ),
    "wrong_audience": (
        "このトークンは別のワーカー群のために発行されたものです。",
        "ジョブを受け取ったワーカーが、自分用のトークンを受けてください。",
        "This token was issued for another pool of workers.",
        "The worker that took the job must obtain its own token.",
    ),
    "wrong_worker": (
        "このトークンは別のワーカーの鍵に結び付けられています。",
        "ジョブを受け取ったワーカー自身の鍵で提示してください。",
        "This token is bound to another worker's key.",
        "Present it with the key of the worker that took the job.",
    ),
    "wrong_job": (
        "このトークンは別のジョブのために発行されたものです。",
        "このジョブのトークンを受けてください。",
        "This token was issued for another job.",
        "Obtain a token for this job.",
    ),
    "wrong_mode": (
        "テスト用の鍵やトークンは、本番では使えません。",
        "本番の鍵(パスキー)で承認し直してください。",
        "A test key or test token cannot be used in live mode.",
        "Approve again with live keys (passkeys).",
    ),
    "key_revoked": (
        "発行された時点で使えない鍵で署名されています。",
        "鍵の一覧(keyset.json)を確かめ、現在の鍵で発行し直してもらってください。",
        "It is signed with a key that could not sign at the time of issue.",
        "Look at the key set (keyset.json) and have it issued again with the present key.",
    ),
    "key_too_new": (
        "承認に使われた鍵は登録されたばかりで、まだ使えません。",
        "鍵の登録から待機時間が過ぎるまでお待ちください。",
        "A key that approved was enrolled too recently to count yet.",
        "Wait until the waiting time since its enrolment has passed.",
    ),
    "replayed": (
        "このトークンは一度使われています。トークンは一回しか使えません。",
        "学習をやり直すには、同じ許諾の残り回数の中で新しいトークンを受けてください。",
        "This token has been used already. A token works once.",
        "To train again, obtain a new token within the runs that the grant allows.",
    ),
    "expired": (
        "許諾またはトークンの期限が切れています。",
        "期間を確かめ、必要なら新しい申請を出してください。",
        "The grant or the token has expired.",
        "Check the term and file a new request if it is still needed.",
    ),
    "not_yet_valid": (
        "許諾またはトークンはまだ有効になっていません。",
        "開始日と、機械の時計が合っているかを確かめてください。",
        "The grant or the token is not valid yet.",
        "Check the start date and that this machine's clock is right.",
    ),
    "ends_before_finish": (
        "学習が終わる前に許諾の期間が終わります。",
        "学習を短くするか、期間を延ばした新しい許諾を受けてください。",
        "The grant would end before the training does.",
        "Shorten the training or obtain a grant with a later end.",
    ),
    "status_stale": (
        "失効情報が古いため、許諾が今も有効かを確かめられません。",
        "登録簿への接続と時計を確かめてください。つながるまで学習は行いません。",
        "The status list is stale, so it is unknown whether the grant still holds.",
        "Check the connection to the registry and the clock; nothing runs until it is fresh.",
    ),
    "too_many": (
        "短い時間に何度も試されたため、しばらく受け付けません。",
        "表示された時間が過ぎてから、もう一度お試しください。",
        "Too many attempts in a short time, so none is taken for a while.",
        "Try again after the time that is shown.",
    ),
    "registry_unreachable": (
        "登録簿につながらないため、学習を続けられません。",
        "ネットワークと登録簿の稼働を確かめてください。",
        "The registry cannot be reached, so training cannot go on.",
        "Check the network and that the registry is running.",
    ),
    "withdrawn": (
        "同意が撤回されたため、この許諾では何も行いません。進行中の学習は止めます。",
        "この許諾では再開できません。必要なら新しい申請で改めて尋ねてください。",
        "Consent was withdrawn: nothing more is done under it, and running training stops.",
        "It cannot be resumed under this grant; ask again with a new request if needed.",
    ),
    "revoked": (
        "許諾が取り消されました。",
        "取消の理由を登録簿の申請画面で確かめてください。",
        "The grant has been revoked for cause.",
        "See the reason on the request's page in the registry.",
    ),
    "paused": (
        "許諾が一時停止中です。",
        "停止の理由(報告の遅れ、契約の変更など)を解消してください。",
        "The grant is paused.",
        "Resolve the cause (overdue report, changed representation …) first.",
    ),
    "representation_ended": (
        "この事務所は現在、このタレントを代理していません。",
        "現在の所属先を登録し、その事務所の承認を受けてください。",
        "This agency does not represent the talent today.",
        "Record the present agency and obtain its approval.",
    ),
    "representation_disputed": (
        "このタレントの所属について、二つの事務所の主張が食い違っています。",
        "本人がどちらの事務所かを答え、運用者が契約書を確認するまで、承認も学習もできません。",
        "Two agencies claim to represent this talent.",
        "Nothing can be approved or trained until she says which, and an operator records proof.",
    ),
    "representation_powerless": (
        "所属事務所との契約に、デジタルレプリカを承認する権限が含まれていません。",
        "権限を含む契約を運用者に登録してもらってください。",
        "The agency's contract does not cover approving digital replicas.",
        "Ask the operator to record a contract that does.",
    ),
    "estate_missing": (
        "このタレントは亡くなっており、遺族の権限がまだ確認されていません。",
        "遺言・法律・裁判所の決定のいずれかによる権限の証明を、運用者に届けてください。",
        "This talent has died, and nobody's authority for the estate is on record.",
        "Bring proof of authority (will, law or court order) to the operator.",
    ),
    "talent_retired": (
        "このタレントは引退しています。",
        "本人が引退を取り消すまで、新しい申請も学習もできません。",
        "This talent has retired.",
        "Nothing new can be asked or trained unless the talent returns.",
    ),
    "person_erased": (
        "この人の個人情報は、本人の求めにより消去されています。",
        "この人については、もう何も申請できません。",
        "This person's data was erased at their own request.",
        "Nothing can be asked about this person any more.",
    ),
    "age_unproven": (
        "年齢に疑いがあり、本人確認書類による確認が済んでいません。",
        "運用者が生年月日を書類で確認するまで、承認も学習もできません。見た目の年齢は証明になりません。",
        "There is doubt about the age, and no identity document has settled it.",
        "An operator must check the birth date on a document; how old a face looks proves nothing.",
    ),
    "requester_unverified": (
        "申請者の会社・屋号の本人確認が済んでいません。下書きはできますが、提出はできません。",
        "登記事項証明書などを運用者に届けて、確認を受けてください。",
        "The requesting organisation's identity is not verified; it may draft, not submit.",
        "Bring a company register extract or the like to the operator.",
    ),
    "approval_missing": (
        "{ja}の承認がありません。",
        "{ja}に申請を開いて承認または却下してもらってください。返事がないことは承認になりません。",
        "The approval of {en} is missing.",
        "Ask {en} to open the request and approve or refuse; silence is never approval.",
    ),
    "approval_refused": (
        "{ja}がこの申請を却下しました。",
        "理由を確かめ、内容を変えた新しい申請を検討してください。",
        "This request was refused by {en}.",
        "Read the reason and consider a new request with other terms.",
    ),
    "approval_text_mismatch": (
        "承認された文面と許諾の文面が一致しません。",
        "内容が変わったため、全員の承認を取り直してください。",
        "The text approved and the text of the grant differ.",
        "The content changed: obtain every approval again.",
    ),
    "returned": (
        "修正の依頼があったため、この内容には署名できません。",
        "申請者が内容を直すと、新しい内容で改めて全員に依頼が届きます。",
        "A change was asked for, so this content can no longer be signed.",
        "Once the requester has changed it, everybody is asked again for the new content.",
    ),
    "remark_missing": (
        "どこをどう直してほしいかが書かれていません。",
        "項目を選び、変えてほしいことを一つ以上書いてください。",
        "It does not say what should be changed.",
        "Choose a field and write at least one thing to change.",
    ),
    "counter_wider": (
        "提案できるのは、依頼された内容より狭い条件だけです。",
        "広げたい項目を元に戻すか、修正の依頼として伝えてください。",
        "Only something narrower than what was asked can be offered.",
        "Take the wider item back, or ask for a change instead.",
    ),
    "counter_empty": (
        "提案が依頼の内容と同じか、許可することが何も残っていません。",
        "同じ内容でよければ承認し、何も許さない場合は却下してください。",
        "The offer equals what was asked, or leaves nothing to allow.",
        "Approve if it is the same; refuse if nothing is to be allowed.",
    ),
    "cooling": (
        "考えるための期間がまだ終わっていないため、許可はできません。",
        "示された日時から許可できます。許可しないことと撤回は、いつでもすぐにできます。",
        "The time to think is not over, so a yes does not count yet.",
        "You can allow it from the time named; saying no and withdrawing work at once, always.",
    ),
    "under_review": (
        "登録簿の運営者が確認しているため、いまは学習許可トークンを発行できません。",
        "確認が終わるまでお待ちください。確認の理由はお答えできません。",
        "The registry's operators are looking at this, so no token is issued now.",
        "Please wait until they have finished; the cause is not told.",
    ),
    "approval_replaced": (
        "申請の内容が変わったため、以前の承認は無効になりました。",
        "新しい内容で承認を取り直してください。",
        "The request changed, so earlier approvals no longer count.",
        "Obtain the approvals again for the new content.",
    ),
    "self_approval": (
        "自分の申請を、別の立場の人として承認することはできません。",
        "申請者以外の、その立場の本人に承認してもらってください。",
        "Nobody can approve their own request in somebody else's place.",
        "The person concerned must approve it, not the requester.",
    ),
    "not_enrolled": (
        "承認用の鍵がまだ登録されていません。",
        "本人が自分の端末でパスキーを登録してください。",
        "No approval key has been enrolled yet.",
        "The person must enrol a passkey on their own device first.",
    ),
    "challenge_unknown": (
        "この署名の要求は見つからないか、期限切れか、もう使われています。",
        "画面を開き直して、もう一度お試しください。",
        "This signing challenge is unknown, expired or already used.",
        "Open the page again and retry.",
    ),
    "dataset_mismatch": (
        "写真が、承認されたときのものと一致しません。",
        "承認された写真に戻すか、新しい写真で承認を取り直してください。",
        "The pictures are not the ones that were approved.",
        "Restore the approved pictures or obtain approval for the new ones.",
    ),
    "dataset_open": (
        "写真がまだ確定していません。",
        "選別を終えて写真を確定(封印)してください。",
        "The data set has not been sealed yet.",
        "Finish the curation and seal the data set.",
    ),
    "image_unavailable": (
        "承認された写真の一部が取り出せません。",
        "保管先の状態を運用者に確かめてください。",
        "An approved picture cannot be fetched.",
        "Ask the operator to check the storage.",
    ),
    "key_unavailable": (
        "写真の鍵が廃棄されているため、写真を開けません。",
        "撤回された許諾の写真は二度と開けません。",
        "The pictures' key has been destroyed, so they cannot be opened.",
        "Pictures of a withdrawn grant can never be opened again.",
    ),
    "unknown_face": (
        "許諾のない人の顔が写っています。",
        "その写真を外すか、写っている人の承認を受けるか、顔を隠した写真に替えてください。",
        "The face of a person without a clearance is in a picture.",
        "Remove the picture, obtain that person's approval, or use a masked version.",
    ),
    "image_unrecorded": (
        "権利の記録がない写真があります。",
        "写真ごとに、撮影・依頼主・著作権者を記録してください。手元にあることは、学習してよいことを意味しません。",
        "There are photographs without a record of their rights.",
        "Record shoot, client and copyright holder of each; having a file is no right to train.",
    ),
    "uncleared_copyright": (
        "写真の著作権の許諾がありません(肖像の許諾とは別に必要です)。",
        "著作権者と根拠(本人・許諾・譲渡・職務著作)を記録してください。著作権法30条の4は根拠になりません。",
        "The copyright in the photographs is not cleared; a likeness clearance is another thing.",
        "Record holder and basis (owner, licence, assignment, employer); article 30-4 is no basis.",
    ),
    "exposure_exceeds": (
        "許諾の条件より露出の多い写真があります。",
        "その写真を外すか、条件の「露出の上限」を改めて、本人に確認してもらってください。",
        "A picture shows more than the terms allow.",
        "Leave the picture out, or change the exposure ceiling of the terms and have it confirmed.",
    ),
    "licensee_blocked": (
        "この会社は、過去の不正な利用のため利用を止められています。",
        "ほかの利用者の名義では申請できません。異議がある場合は運営者に連絡してください。",
        "This company is barred because of a misuse.",
        "Do not ask under another name. If you object, contact the operators.",
    ),
    "moral_rights_missing": (
        "撮影者の著作者人格権についての同意がありません。",
        "改変と氏名表示について撮影者の同意を得て、記録してください。",
        "The author's consent about moral rights is missing.",
        "Obtain and record the author's consent on alteration and attribution.",
    ),
    "uncleared_work": (
        "権利処理のされていない役・衣装・作品が写っています。",
        "作品と権利者を登録して承認を受けるか、その写真を外してください。",
        "A character, costume or work that is not cleared is in a picture.",
        "Record the work with its rights holders and ask them, or leave the picture out.",
    ),
    "creator_mismatch": (
        "ファイルに書かれた作者が、届け出られた著作権者と違います。",
        "著作権者を訂正するか、違う理由を書いてください。書いた理由は著作権者にも示されます。",
        "The creator named in the file is not the declared copyright holder.",
        "Correct the holder, or write why they differ; the holder will see that reason.",
    ),
    "reserved_by_holder": (
        "AI学習を拒む印のある写真です。権利者本人の承認がまだありません。",
        "その著作権者に、この件を開いて承認するかどうか答えてもらってください。",
        "The file carries a machine-readable refusal of training that its holder has not lifted.",
        "Ask that copyright holder to open this case and approve it or not.",
    ),
    "unverified_edit": (
        "修整した写真に、元の写真の記録がありません。",
        "元の写真のハッシュ値を記録するか、修整前の写真に替えてください。",
        "A retouched picture has no record of its original.",
        "Record the original's hash, or use the picture before retouching.",
    ),
    "shares_mismatch": (
        "写真に写っている人と、許諾を求める人が一致しません。",
        "全員が写っているかを確かめ、写っていない人を申請から外してください。割合は枚数から計算します。",
        "The people in the pictures and the people who are asked are not the same.",
        "See that everybody is shown, or take them out; shares are computed from the pictures.",
    ),
    "curation_blocked": (
        "写真の選別に、解決していない指摘があります。",
        "指摘ごとに、写真を替えるか、理由を書いて引き受けてください。",
        "The curation report holds points that are not settled.",
        "For each point, change the pictures or take it on with a recorded reason.",
    ),
    "curation_mismatch": (
        "選別の報告書が、承認されたものと一致しません。",
        "選別をやり直し、承認を取り直してください。",
        "The curation report is not the one that was approved.",
        "Run the curation again and obtain the approvals again.",
    ),
    "base_licence": (
        "ベースモデルのライセンスが、この用途を認めていません。",
        "用途に合うライセンスのベースモデルを選ぶか、権利者から別の許諾を受けてください。",
        "The licence of the base model does not allow this use.",
        "Choose a base model whose licence covers the use, or obtain one from its holder.",
    ),
    "base_licence_unreviewed": (
        "ベースモデルまたはその部品のライセンスが、まだ本文で確かめられていません。",
        "運用者がライセンス本文を読んで記録を確認するまで、商用の用途には使えません。",
        "The licence of the base model or of a part of it has not been confirmed from its text.",
        "An operator must read the text and confirm the record before commercial use.",
    ),
    "base_licence_threshold": (
        "ベースモデルのライセンスには規模の上限があり、利用者がその範囲内だと申告していません。",
        "利用者の売上などの区分を申告するか、上限のないベースモデルを選んでください。",
        "The base model's licence has a size limit; the licensee is not declared to be below it.",
        "Declare the licensee's revenue band, or choose a base model without such a limit.",
    ),
    "base_licence_registration": (
        "ベースモデルの商用利用には、提供元への登録が必要です。",
        "利用者が提供元に登録し、登録番号を記録してください。",
        "Commercial use of the base model needs a registration with its maker.",
        "The licensee must register there and have the number recorded.",
    ),
    "base_licence_territory": (
        "ベースモデルのライセンスが、使用地域の一部を除外しています。",
        "その地域を外すか、別のベースモデルを選んでください。",
        "The base model's licence excludes part of the territory.",
        "Leave that territory out, or choose another base model.",
    ),
    "base_licence_field": (
        "ベースモデルのライセンスが、人物の学習にあたる生体情報の処理を禁じています。",
        "別のベースモデルを選ぶか、権利者から個別の許諾を受けて記録してください。",
        "The base model's licence forbids biometric processing, and training a person may be that.",
        "Choose another base model, or have its holder's own permission recorded.",
    ),
    "base_licence_exclusivity": (
        "ベースモデルのライセンスが、独占の契約を認めていません。",
        "独占を外すか、別のベースモデルを選んでください。",
        "The base model's licence forbids exclusive terms.",
        "Drop the exclusivity, or choose another base model.",
    ),
    "base_licence_share_alike": (
        "ベースモデルのライセンスが、LoRAを同じ条件で公開することを求めています。本人の同意と両立しません。",
        "公開の義務がないベースモデルを選んでください。",
        "The base model's licence wants the LoRA shared with everybody, which no consent allows.",
        "Choose a base model without a duty to share.",
    ),
    "tool_licence": (
        "道具として使うモデル(顔照合など)のライセンスが、本番での利用を認めていないか、記録されていません。",
        "商用に使えるモデルに替えるか、ライセンスを確かめて記録してください。",
        "A tool model (such as the face engine's) has no licence record that allows live use.",
        "Use a model that may be used commercially, or read its licence and record it.",
    ),
    "base_model_mismatch": (
        "ベースモデルのファイルが、承認されたものと一致しません。",
        "承認されたものと同じ内容のベースモデルを置いてください。",
        "The base model's bytes are not the approved ones.",
        "Install the base model with exactly the approved digest.",
    ),
    "recipe_exceeds": (
        "学習の設定が、承認された上限を超えています。",
        "設定を上限の中に収めてください。",
        "The recipe exceeds the limits that were approved.",
        "Bring the recipe within the approved limits.",
    ),
    "transformation_exceeds": (
        "この許諾は背景を替えることだけを認めていますが、人物を新しく作る学習になっています。",
        "学習の設定を「背景だけ」にするか、人物の合成について新しい許諾を受けてください。",
        "The grant allows a new background only, but the job would make the person anew.",
        "Set the recipe's output policy to background only, or ask for another grant.",
    ),
    "scope_prototype_only": (
        "この許諾は試作のためのもので、納品・公表・販売はできません。",
        "本番に使うには、新しい申請を出してください。",
        "The grant is for a prototype: nothing of it is delivered, published or sold.",
        "File a new request for production.",
    ),
    "kind_not_offered": (
        "この登録簿は実在の人物のLoRAだけを扱います。画風やイラストは扱いません。",
        "画風は作品の著作権者に直接お尋ねください。人物のときは種類を「人物」にしてください。",
        "This registry is for LoRAs of real people only, not for styles or illustration.",
        "For a style, ask the copyright holder of the works; for a person, set kind to person.",
    ),
    "slots_used": (
        "この許諾で認められた学習回数を使い切りました。",
        "さらに学習するには、新しい申請を出してください。",
        "All the runs that this grant allows have been used.",
        "File a new request to train again.",
    ),
    "minor_rule": (
        "未成年者には認められない内容です。",
        "該当する表現や用途を外してください。この規則に例外はありません。",
        "This is not allowed for a minor.",
        "Remove that content or use; there is no exception to this rule.",
    ),
    "never_list": (
        "本人が「決して許さない」とした内容が含まれています。",
        "その項目を外してください。事務所が代わりに許すことはできません。",
        "It contains something on the talent's own never-list.",
        "Remove that item; the agency cannot allow it in the talent's place.",
    ),
    "not_opened": (
        "本人が自分で許していない分野または地域が含まれています。",
        "その項目を外してください。必要なときは、本人が自分の画面の「私の決まり」で許してから申請してください。",
        "It asks for a field or for worldwide use that the talent has not opened herself.",
        "Leave it out; if it is needed, the talent must open it on her own page first.",
    ),
    "talent_only": (
        "許す範囲を広げられるのは本人だけです。",
        "本人が自分の画面で変えてください。事務所は範囲を狭めることだけができます。",
        "Only the talent can widen what may be asked for.",
        "She changes it on her own page; the agency can only narrow it.",
    ),
    "tick_missing": (
        "本人が一つずつ確認する項目に、チェックがありません。",
        "本人が内容を読み、許すときはその項目にチェックを入れてください。許さないときは断れます。",
        "Something that needs the talent's own tick has not been ticked.",
        "She reads it and ticks it if she allows it, or declines; nothing is ticked for her.",
    ),
    "terms_invalid": (
        "許諾の条件に不足または矛盾があります。",
        "示された項目を直してください。入力した内容は残っています。",
        "The terms are incomplete or contradict themselves.",
        "Correct the items named; everything you entered has been kept.",
    ),
    "wrong_state": (
        "今の状態では、この操作はできません。",
        "画面を読み直して、現在の状態を確かめてください。",
        "This cannot be done in the present state.",
        "Reload the page and look at the present state.",
    ),
    "worker_unknown": (
        "このワーカーは登録されていないか、承認されていません。",
        "運用者がワーカーを登録し、承認してください。",
        "This worker is not enrolled or not approved.",
        "The operator must enrol and approve the worker.",
    ),
    "lease_lost": (
        "このジョブの担当は別のワーカーに移りました。",
        "このワーカーは作業を止めて消去します。操作は要りません。",
        "Another worker holds this job now.",
        "This worker stops and wipes its work; nothing needs to be done.",
    ),
    "engine_missing": (
        "顔照合エンジンが用意されていないため、写真を確かめられません。",
        "設置手順に従って顔照合パックを用意してください。",
        "The face engine is not installed, so pictures cannot be checked.",
        "Install the face pack as the set-up describes.",
    ),
    "engine_altered": (
        "顔照合パックが、固定されたものと一致しません。改変されたモデルは読み込みません。",
        "パックのフォルダーを消し、設置手順に従って作り直してください。",
        "The face pack is not the pinned one; altered weights are never loaded.",
        "Remove the pack's folder and build it again as the set-up describes.",
    ),
    "calibration_mismatch": (
        "しきい値のファイルが、この顔照合パックと設定のものではありません。",
        "kyodaku calibrate でこのパックの較正をやり直してください。",
        "The calibration is not one of this face pack and these settings.",
        "Run kyodaku calibrate for this pack.",
    ),
    "calibration_small": (
        "較正に必要な人数または枚数に足りません。",
        "一人ずつのフォルダーに4枚以上、5人以上の写真を用意してください。",
        "There are too few people or pictures to calibrate with.",
        "Use at least five people, a folder each, with four or more pictures.",
    ),
    "no_references": (
        "本人の基準写真がありません。",
        "本人が確認した、一人だけが写る写真を3枚以上登録してください。",
        "There are no reference pictures of the talent.",
        "Enrol at least three pictures confirmed by the talent, one face in each.",
    ),
    "image_unreadable": (
        "画像として読み取れません。",
        "JPEG、PNG、WebP、TIFF のいずれかで保存し直してください。",
        "The file cannot be read as a picture.",
        "Save it again as JPEG, PNG, WebP or TIFF.",
    ),
    "image_format": (
        "この形式の画像は受け付けていません。",
        "HEIC・RAW・PSD などは、sRGB の JPEG(最高画質)か TIFF に書き出してください。",
        "Pictures of this format are not taken.",
        "Export HEIC, raw or PSD files as JPEG (best quality) or TIFF in sRGB.",
    ),
    "image_extension": (
        "拡張子と中身の形式が一致しません。",
        "拡張子を中身に合わせるか、書き出し直してください。",
        "The name's ending is not that of the content.",
        "Correct the ending, or export the picture again.",
    ),
    "image_polyglot": (
        "画像の中に、別のファイルが入っています。",
        "元の写真から画像だけを書き出し直してください。",
        "There is another file inside the picture.",
        "Export the picture alone, from the original.",
    ),
    "image_depth": (
        "1チャンネル8ビットを超える画像です。黙って切り捨てることはしません。",
        "8ビットの sRGB で書き出してください。",
        "The picture has more than 8 bits a channel, which would be cut off.",
        "Export it with 8 bits in sRGB.",
    ),
    "image_animated": (
        "動く画像です。どの一枚を使うのか分かりません。",
        "使う一枚を静止画として書き出してください。",
        "The picture moves, and nobody can tell which frame is meant.",
        "Export the one frame that is meant.",
    ),
    "image_colours": (
        "印刷用の色(CMYK)で、読めるプロファイルがありません。肌の色が分かりません。",
        "元の写真から sRGB で書き出してください。",
        "The picture is in print colours (CMYK) without a readable profile: its skin is a guess.",
        "Export it from the original in sRGB.",
    ),
    "file_not_plain": (
        "普通のファイルではありません(リンク、装置など)。",
        "写真そのものをこのフォルダーに入れてください。",
        "This is no ordinary file (a link, a device).",
        "Put the picture itself into the folder.",
    ),
    "folder_unreadable": (
        "フォルダーを読めません。",
        "写真だけを入れたフォルダーの場所と権限を確かめてください。",
        "The folder cannot be read.",
        "Check its place and permissions; put nothing but the pictures into it.",
    ),
    "image_too_large": (
        "画像が大きすぎます。",
        "上限以下の大きさにしてから送ってください。",
        "The picture is too large.",
        "Reduce it below the limit and send it again.",
    ),
    "image_too_small": (
        "画像が小さすぎます。",
        "長辺が下限以上の元の写真を使ってください。",
        "The picture is too small.",
        "Use the original photograph, above the minimum size.",
    ),
    "probes_missing": (
        "出力の測定(本人らしさ、ほかの登録者との類似)がまだ終わっていません。",
        "測定はジョブの封印後に自動で始まります。数分待って開き直してください。",
        "The outputs have not been measured yet (likeness, and likeness to others registered).",
        "Measuring starts by itself after sealing. Wait a few minutes and open the page again.",
    ),
    "lookalike_hold": (
        "見本が、この許諾に含まれない登録者に似ているため、納品を保留しています。",
        "運営が見本を確認します。結果をお待ちください。",
        "The samples look like somebody registered whom the licence does not name; on hold.",
        "The operators look at the samples. Wait for their answer.",
    ),
    "samples_missing": (
        "見本がないため、ほかの登録者に似ていないかを確かめられません。納品を保留しています。",
        "見本を4枚以上作る設定で学習し直すか、運営の確認を待ってください。",
        "There are no samples, so nobody knows whom it draws; on hold.",
        "Train again with a recipe of four samples or more, or wait for the operators' answer.",
    ),
    "output_unapproved": (
        "{ja}が出力をまだ承認していないため、納品できません。",
        "{ja}に見本を見て承認または差戻しをしてもらってください。",
        "The outputs have not been approved by {en}, so nothing can be delivered.",
        "Ask {en} to look at the samples and approve or return them.",
    ),
    "watermark_unreadable": (
        "透かしを入れた後の確認で透かしを読み取れなかったため、納品を止めました。",
        "学習の設定(ランクや対象)を変えてやり直してください。",
        "The watermark could not be read back, so delivery was stopped.",
        "Train again with another recipe (rank or targets).",
    ),
    "watermark_profile": (
        "トークンが求める透かしの方式を、このワーカーは扱えません。",
        "ワーカーを更新してから、もう一度ジョブを受けてください。",
        "The token asks for a watermark that this worker cannot embed.",
        "Update the worker and take the job again.",
    ),
    "wrong_subject": (
        "記録が、このファイルやこの学習についてのものではありません。",
        "納品されたときのファイルと証跡の組み合わせを確かめてください。",
        "The record is about another file or another run.",
        "Check that the file and the evidence are those that were delivered together.",
    ),
    "too_large": (
        "ファイルの中身が、扱える大きさを超えています。",
        "LoRA(safetensors)そのものを選んでいるか確かめてください。",
        "The file holds more than can be looked at.",
        "Check that it is the LoRA (safetensors) itself.",
    ),
    "frozen": (
        "このLoRAは凍結されています。",
        "凍結の理由(撤回・回収など)を登録簿で確かめてください。",
        "This LoRA is frozen.",
        "See the reason (withdrawal, recall …) in the registry.",
    ),
    "link_expired": (
        "受け取りリンクの期限が切れています。",
        "新しいリンクを発行してください。",
        "The delivery link has expired.",
        "Issue a new link.",
    ),
    "link_used": (
        "この受け取りリンクは、すでに使われています。",
        "案件のページで新しいリンクを発行してください。ファイルは同じものです。",
        "This delivery link has been used.",
        "Make a new link on the page of the case; the file stays the same.",
    ),
    "wrong_code": (
        "コードが正しくありません。何も変わっていません。",
        "メールにある6桁のコードを入力してください。",
        "The code is not right, and nothing was changed.",
        "Type the six digits that stand in the message.",
    ),
    "form_used": (
        "この画面は古くなったか、もう使われています。何も変わっていません。",
        "メールのリンクから、もう一度開いてください。",
        "This page is too old or was used already, and nothing was changed.",
        "Open the link in the message once more.",
    ),
    "worker_stopped": (
        "作業用の機械が停止したため、学習が中断しました。",
        "自動で再試行します。続くときは運用者に連絡してください。",
        "The worker stopped, so training was interrupted.",
        "It is retried by itself; tell the operator if it goes on.",
    ),
    "training_failed": (
        "学習中に問題が起きて止まりました。",
        "ジョブの画面の詳細を確かめ、設定を変えてやり直してください。",
        "Training ended with an error.",
        "See the details on the job's page and try another recipe.",
    ),
}

CODES: Final = frozenset(_TEXTS)


def explain(code: str, locale: Locale = "ja") -> Explanation:
    """The texts of a code. Raises `KeyError` for a code that is not in the catalogue."""
    kind, _, party = code.partition(":")
    what_ja, next_ja, what_en, next_en = _TEXTS[kind]
    ja, en = _PARTIES.get(party, (party or "関係者", party or "a party"))
    what, nxt = (what_ja, next_ja) if locale == "ja" else (what_en, next_en)
    return Explanation(what.format(ja=ja, en=en), nxt.format(ja=ja, en=en))


def party_label(capacity: str, locale: Locale = "ja") -> str:
    """The name of a capacity (`by`) for people: `talent` -> 本人 / the talent."""
    return _PARTIES[capacity][0 if locale == "ja" else 1]
