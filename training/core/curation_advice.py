"""What a finding of the curation says to people: what, why, and what to do. Japanese and English.

Stage 5, pure. Every code that `training.core.curation` can find has its sentences here. Advice is
in the spirit of a photographer's note of 2023, and never a way around anybody.
"""

from dataclasses import dataclass
from typing import Final, Literal

# hard: blocks, nobody can override. review: blocks until a named reviewer has looked at that very
# picture. soft: blocks until taken on with a reason. warn: shown to everyone who signs.
Kind = Literal["hard", "review", "soft", "warn"]


@dataclass(frozen=True)
class Advice:
    """What a finding says, why it matters, and what to do: Japanese and English."""

    kind: Kind
    ja: str
    en: str
    why_ja: str
    why_en: str
    next_ja: str
    next_en: str


ADVICE: Final[dict[str, Advice]] = {
    "unknown_face": Advice(
        "hard",
        "許諾のない人の顔が写っています。",
        "The face of a person without a clearance is in the picture.",
        "写っている全員の承認がなければ、その写真は学習に使えません。",
        "A picture can be trained on only when everyone recognisable in it has agreed.",
        "その写真を外すか、写っている人の承認を受けるか、その顔が入らないように切り抜いてください。",
        "Remove the picture, obtain that person's approval, or crop the face out.",
    ),
    "unlike_face": Advice(
        "review",
        "本人らしく見えない顔です。別人の可能性があります。",
        "The face does not look like the talent, and may be somebody else.",
        "別人の写真も、本人らしさを失った写真も、結果を本人でない人にします。",
        "Somebody else's picture, or one that lost the likeness, makes the result another person.",
        "名前を記録した確認者が写真を見て本人かを判断するか、写真を替えてください。",
        "A named reviewer must look at the picture and decide, or replace it.",
    ),
    "possible_face": Advice(
        "review",
        "背景などに、ほかの人の顔かもしれないものがあります。",
        "Something in the picture may be another person's face.",
        "小さな顔や印刷された顔でも、誰かが分かれば権利のある人です。",
        "Even a small or printed face belongs to somebody when it can be recognised.",
        "名前を記録した確認者が顔でないことを確かめるか、その部分を切り抜いてください。",
        "A named reviewer must confirm that it is no face, or crop that part away.",
    ),
    "bystander": Advice(
        "warn",
        "写り込んだ人がいます。その人自身の承認を求めます。",
        "A bystander is in the picture, who is asked for their own approval.",
        "写り込んだだけの人にも肖像権があります。",
        "Somebody who merely passed by has a portrait right too.",
        "承認が得られないときは、顔を隠すか、その写真を外してください。",
        "If they do not approve, mask the face or leave the picture out.",
    ),
    "talent_absent": Advice(
        "hard",
        "許諾を求める人のうち、写真に写っていない人がいます。",
        "Somebody who is asked for permission is in none of the pictures.",
        "写っている人の数と、許諾を求める人の数は同じでなければなりません。",
        "As many people must be shown as are asked.",
        "その人の写真を加えるか、その人を除いた申請にしてください。",
        "Add pictures of that person, or file the request without them.",
    ),
    "no_face": Advice(
        "hard",
        "顔が見つかりません。",
        "No face was found.",
        "顔のない写真は、誰の写真かを確かめられません。",
        "Without a face nobody can check whose picture it is.",
        "本人の顔が見える写真に替えてください。",
        "Replace it with a picture that shows the talent's face.",
    ),
    "too_few_pictures": Advice(
        "hard",
        "写真が少なすぎます。",
        "There are too few pictures.",
        "少なすぎる写真では、一枚ごとの背景や服まで覚えてしまいます。15枚程度が目安です。",
        "With too few, the model learns each picture's background and clothes. About 15 is right.",
        "本人の写真を加えてください。",
        "Add pictures of the talent.",
    ),
    "few_pictures": Advice(
        "warn",
        "写真が少なめです。",
        "There are rather few pictures.",
        "15枚程度が目安です。少ないと背景や服が結果に出やすくなります。",
        "About 15 is right; with fewer, backgrounds and clothes leak into the result.",
        "背景・服・髪型の違う写真を加えることを検討してください。",
        "Consider adding pictures with other backgrounds, clothes and hair.",
    ),
    "many_pictures": Advice(
        "warn",
        "写真が多めです。",
        "There are rather many pictures.",
        "15枚程度で足ります。必要以上に本人の写真を使わないことも大切です。",
        "About 15 is enough, and using no more of a person than needed matters too.",
        "似た写真や出来の劣る写真を外すことを検討してください。",
        "Consider removing pictures that are alike or weaker.",
    ),
    "too_many_pictures": Advice(
        "soft",
        "写真が多すぎます。",
        "There are too many pictures.",
        "必要以上に本人の写真を使うことになります。15枚程度で足ります。",
        "It uses more of a person than is needed. About 15 is enough.",
        "写真を減らすか、必要な理由を書いて引き受けてください。",
        "Reduce the set, or take it on with the reason why it is needed.",
    ),
    "duplicate": Advice(
        "hard",
        "同じ写真が二回入っています。",
        "The same picture is in the set twice.",
        "同じ写真は二重に学習され、その背景や服が結果に出ます。",
        "It would be learnt twice, and its background and clothes would show.",
        "片方を外してください。",
        "Remove one of the two.",
    ),
    "near_duplicate": Advice(
        "soft",
        "ほとんど同じ写真があります(左右反転を含みます)。",
        "Two pictures are nearly the same, mirrored ones included.",
        "似すぎた写真は、その一場面を強く覚えさせます。",
        "Pictures that alike make the model remember that one scene.",
        "片方を外すか、残す理由を書いて引き受けてください。",
        "Remove one, or take it on with the reason for keeping both.",
    ),
    "refused_before": Advice(
        "review",
        "関係者が外した写真によく似た写真です。",
        "This picture is much like one that somebody left out.",
        "保存し直しや切り抜きで、断られた写真を入れ直すことはできません。",
        "Stored anew or cut, a picture that was refused is still that picture.",
        "この写真を外してください。別の写真であれば、依頼者以外の担当者が見て理由を書きます。",
        "Remove it. If it is another picture, a reviewer who is not the requester says why.",
    ),
    "weak_likeness": Advice(
        "warn",
        "本人らしさが弱い写真です。",
        "The likeness in this picture is weak.",
        "本人の特徴を捉えていない写真は、別人の写真と同じ働きをします。",
        "A picture without the person's features acts like a picture of somebody else.",
        "本人らしさがよく出た写真に替えることを検討してください。",
        "Consider a picture in which the person is easier to recognise.",
    ),
    "face_repeated": Advice(
        "soft",
        "一枚の写真に、本人の顔が二つ以上あります。",
        "The talent's face is in one picture more than once.",
        "鏡や合成でなければ、よく似た別人(きょうだいなど)かもしれません。",
        "Unless it is a mirror or a collage, it may be a relative who looks alike.",
        "顔が一つだけになるように切り抜くか、本人であることの理由を書いて引き受けてください。",
        "Crop to one face, or take it on with the reason why both are the talent.",
    ),
    "same_background": Advice(
        "soft",
        "同じ背景の写真が3枚以上あります。",
        "Three or more pictures have the same background.",
        "同じ背景は3枚以上は不要です。結果の背景に出てきます。説明文を付けても消えません。",
        "Two are enough; the background shows in the result, and captions don't prevent it.",
        "別の背景の写真に替えるか、理由を書いて引き受けてください。",
        "Replace some of them, or take it on with a reason.",
    ),
    "same_outfit": Advice(
        "soft",
        "同じ衣装の写真が3枚以上あります。",
        "Three or more pictures show the same outfit.",
        "同じ衣装は3枚以上は不要です。特徴のある服は、結果の服の形にまで出ます。",
        "Two are enough; a distinctive outfit leaks into the clothes of every result.",
        "別の衣装の写真に替えるか、理由を書いて引き受けてください。",
        "Replace some of them, or take it on with a reason.",
    ),
    "same_hair": Advice(
        "soft",
        "同じ髪型の写真が3枚以上あります。",
        "Three or more pictures show the same hair.",
        "同じ髪型は3枚以上は不要です。髪型を変えられないLoRAになります。",
        "Two are enough; the result will not be able to wear any other hair.",
        "髪型の違う写真に替えるか、理由を書いて引き受けてください。",
        "Replace some of them, or take it on with a reason.",
    ),
    "same_everything": Advice(
        "soft",
        "背景も衣装も髪型も同じ写真が3枚以上あります。",
        "Three or more pictures share background, outfit and hair.",
        "同じ一場面の写真です。その場面がそのまま結果に出ます。",
        "They are one scene, and that scene will show in the result.",
        "2枚まで減らすか、理由を書いて引き受けてください。",
        "Keep two of them, or take it on with a reason.",
    ),
    "dominant_background": Advice(
        "soft",
        "枚数が少ないのに、半分以上が同じ背景です。",
        "In this small set more than half of the pictures have one background.",
        "少ない枚数では、その背景がほとんどの結果に出ます。説明文を付けても消えません。",
        "In a small set it shows in nearly every result; captions don't prevent it.",
        "背景の違う写真を加えるか、理由を書いて引き受けてください。",
        "Add pictures with other backgrounds, or take it on with a reason.",
    ),
    "grain": Advice(
        "soft",
        "粒子(ノイズ)の強い写真です。",
        "The picture is grainy.",
        "粒子は肌の質感として覚えられます。感度の数字ではなく、写りを測っています。",
        "Grain is learnt as skin. This is measured in the pixels, not read from the ISO number.",
        "粒子の少ない写真に替えるか、理由を書いて引き受けてください。",
        "Use a cleaner picture, or take it on with a reason.",
    ),
    "too_soft": Advice(
        "soft",
        "顔の細部がぼやけています。",
        "The face lacks fine detail.",
        "ぼけ、ノイズ除去、小さな画像の拡大で失われた細部は、結果でも失われます。",
        "Detail lost to blur, noise reduction or enlarging is lost in the result too.",
        "ピントの合った元の写真に替えるか、理由を書いて引き受けてください。",
        "Use a sharp original, or take it on with a reason.",
    ),
    "over_retouched": Advice(
        "soft",
        "肌の質感が消えるほどレタッチされています。",
        "The skin has been smoothed until its texture is gone.",
        "レタッチのしすぎは本人の特徴を消し、本人でない人にします。",
        "Too much retouching removes the person and leaves somebody else.",
        "レタッチ前の写真に替えるか、理由を書いて引き受けてください。本人にも示されます。",
        "Use the picture before retouching, or take it on with a reason; the talent sees it.",
    ),
    "jpeg_damage": Advice(
        "soft",
        "圧縮で傷んだ写真です(ブロックの境目が見えます)。",
        "The picture is damaged by compression: the borders of its blocks show.",
        "圧縮の跡は肌の質感として覚えられます。",
        "What compression leaves is learnt as skin.",
        "元の画質の写真に替えるか、理由を書いて引き受けてください。",
        "Use the original quality, or take it on with a reason.",
    ),
    "mole_added": Advice(
        "soft",
        "基準写真にないほくろや、濃くされたほくろがあります。",
        "There is a mole that the reference pictures do not have, or one made darker.",
        "足したり強めたりした印は本人の改変です。結果の顔にも出ます。",
        "A mark that is added or strengthened changes the person, and shows in the result.",
        "描き足す前の写真に替えるか、理由を書いて引き受けてください。本人にも示されます。",
        "Use the picture before it was painted, or take it on with a reason; the talent sees it.",
    ),
    "skin_tone": Advice(
        "soft",
        "本人の基準写真より、肌が白くなっています。",
        "The skin is paler than in the talent's own reference pictures.",
        "白くした肌は、結果の肌の色になります。肌の色を変えるには本人の同意が要ります。",
        "Whitened skin becomes the result's skin; changing it needs the talent's consent.",
        "本来の肌の色の写真に替えるか、理由を書いて引き受けてください。本人にも示されます。",
        "Use a picture in the natural tone, or take it on with a reason; the talent sees it.",
    ),
    "unlike_exposure": Advice(
        "soft",
        "ほかの写真と明るさが大きく違います。",
        "Its brightness is far from that of the other pictures.",
        "露出のそろわない写真は、肌の色と立体感の覚え方を乱します。",
        "Unlike exposures confuse what is learnt about skin and shape.",
        "明るさをそろえるか、理由を書いて引き受けてください。",
        "Even out the exposure, or take it on with a reason.",
    ),
    "face_small": Advice(
        "soft",
        "顔が小さく写っています。",
        "The face is small in the picture.",
        "小さな顔からは目鼻立ちが伝わりません。",
        "A small face teaches little about the features.",
        "顔を大きく切り抜くか、寄りの写真に替えるか、理由を書いて引き受けてください。",
        "Crop closer, use a closer picture, or take it on with a reason.",
    ),
    "sideways": Advice(
        "soft",
        "写真が横向き、または上下逆さまです。",
        "The picture lies on its side or upside down.",
        "向きの違う顔は、別の形として覚えられます。",
        "A turned face is learnt as another shape.",
        "写真を正しい向きに回してください。意図したものなら理由を書いて引き受けてください。",
        "Turn it upright, or take it on with a reason if it is meant so.",
    ),
}
