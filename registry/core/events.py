"""The registry's event types: permanent words, `subject.past_tense`.

Retire one with a comment, never reuse it. Every floor has such a table; a test finds a writer in
the code and a line in ARCHITECTURE for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# type: (Japanese, English), for the ledger page.
EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "log.origin_opened": ("台帳を新しい名前で継続", "log continued under a new origin"),
    "key.listed": ("登録簿の鍵の一覧を公開", "the registry's key set published"),
    "key.published": ("次に使う鍵を公開", "next signing key published"),
    "key.rotated": ("署名鍵を交代", "signing key rotated"),
    "key.revoked": ("署名鍵を失効", "signing key revoked"),
    "credential.enrolled": ("承認用の鍵を登録", "approval key enrolled"),
    "credential.retired": ("承認用の鍵を無効化", "approval key retired"),
    "wishes.changed": ("本人の決まりを変更", "a talent's own rules changed"),
    "member.left": ("組織の役割が終了", "role in an organisation ended"),
    "talent.renamed": ("芸名を変更", "stage name changed"),
    "talent.retired": ("引退を記録", "retirement recorded"),
    "talent.returned": ("復帰を記録", "return recorded"),
    "talent.died": ("死亡を記録", "death recorded"),
    "person.erased": ("個人情報を消去", "personal data erased"),
    "grant.confirmed": ("停止中の許諾の継続を確認", "paused grant confirmed with a key"),
    "member.joined": ("組織の役割を付与", "role in an organisation given"),
    "representation.begun": ("所属の開始を記録", "representation recorded"),
    "representation.ended": ("所属の終了を記録", "end of a representation recorded"),
    "representation.claimed": ("所属の主張が対立", "representation disputed"),
    "representation.settled": ("所属の対立が決着", "dispute over representation settled"),
    "guardian.appointed": ("保護者を確認", "guardian recorded"),
    "guardian.ended": ("保護者の任が終了", "guardianship ended"),
    "estate.opened": ("遺族の権限を確認", "authority of the estate recorded"),
    "estate.closed": ("遺族の権限が終了", "authority of the estate ended"),
    "recipient.changed": ("納品用の鍵を変更", "delivery key changed"),
    "organisation.blocked": ("組織の利用を停止", "organisation barred"),
    "organisation.unblocked": ("組織の利用停止を解除", "organisation no longer barred"),
    "identity.checked": ("本人確認を記録", "identity checked"),
    "age.doubted": ("年齢の確認を要求", "age in doubt"),
    "age.settled": ("年齢の確認が完了", "age proven by a document"),
    "request.submitted": ("学習を申請", "training request submitted"),
    "request.refused": ("申請を受け付けず", "training request refused"),
    "request.amended": ("申請の内容を変更", "training request amended"),
    "request.recalled": ("承認の依頼を取り下げて修正へ", "request taken back for a change"),
    "grant.asked": ("許諾の内容を確定し承認を依頼", "grant content fixed, approvals asked"),
    "grant.superseded": ("許諾の内容を差し替え", "grant superseded by a new one"),
    "approval.signed": ("承認に署名", "approval signed"),
    "approval.opened": ("依頼の内容を開封", "content opened by a party"),
    "approval.undelivered": ("連絡が届かず", "no message reaches a party"),
    "approval.returned": ("修正を依頼", "change asked for"),
    "approval.countered": ("条件を狭めて提案", "narrower content offered"),
    "approval.dismissed": ("内容の変更により承認を無効化", "approval void: content changed"),
    "approval.refused": ("承認を却下", "approval refused"),
    "approval.withdrawn": ("同意を撤回", "consent withdrawn"),
    "grant.made": ("許諾が成立", "grant made"),
    "grant.paused": ("許諾を一時停止", "grant paused"),
    "grant.resumed": ("許諾の停止理由を解除", "a pause of a grant lifted"),
    "grant.ended": ("許諾が終了", "grant ended"),
    "talent.stopped": ("本人がすべてを緊急停止", "talent stopped everything"),
    "talent.resumed": ("本人が緊急停止を解除", "talent lifted the stop"),
    "token.refused": ("トークンの発行を拒否", "token refused"),
    "token.minted": ("学習許可トークンを発行", "consent token minted"),
    "token.redeemed": ("学習許可トークンを使用", "consent token redeemed"),
    "token.revoked": ("学習許可トークンを失効", "consent token revoked"),
    "mandate.given": ("署名の代表権を登録", "mandate to sign for a holder given"),
    "mandate.ended": ("署名の代表権が終了", "mandate to sign for a holder ended"),
    "work.confirmed": ("作品と権利者を確認", "work and its rights holders confirmed"),
    "keyshare.shredded": ("写真の鍵を廃棄", "picture key share destroyed"),
    "model.recorded": ("モデルとライセンスを記録", "model and its licence recorded"),
    "model.revised": ("モデルのライセンスの記録を更新", "a model's licence facts revised"),
    "licensee.declared": ("利用者が規模を申告", "licensee declared its size"),
    "licensee.registered": (
        "モデル提供元への登録を記録",
        "registration with a model's maker recorded",
    ),
}
