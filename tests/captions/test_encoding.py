"""Captions in other encodings than UTF-8: a table that the guess was made with, and another one."""

from __future__ import annotations

import random

import pytest

from tagflow.captions.encoding import guess

CHINESE = (
    "现代风格, 白色墙壁, 木地板, 客厅", "1个女孩，长发，蓝眼睛，微笑，校服",
    "一张照片，一只猫坐在窗台上，阳光明媚", "zkv风格, 水彩画, 山, 湖, 日落",
    "古风, 汉服, 红色, 樱花树下", "卧室，大床，落地窗，窗帘", "女孩", "夜晚城市街道",
    "masterpiece, 最佳质量, 1girl, 单人", "高楼, 天空, 云",
)  # fmt: skip
TAIWANESE = (
    "現代風格, 白色牆壁, 木地板, 客廳", "1個女孩，長髮，藍眼睛，微笑，制服",
    "一張照片，一隻貓坐在窗台上，陽光明媚", "水彩畫, 山, 湖, 日落", "古風, 漢服, 紅色, 櫻花樹下",
    "臥室，大床，落地窗，窗簾", "女孩", "夜晚城市街道", "masterpiece, 最佳品質, 1girl, 單人",
    "高樓, 天空, 雲",
)  # fmt: skip
JAPANESE = (
    "モダンな部屋, 白い壁, 木の床, リビング", "女の子、長い髪、青い目、笑顔、制服",
    "窓辺に座っている猫の写真。", "水彩画, 山, 湖, 夕日", "和風, 着物, 赤, 桜の木の下",
    "寝室、大きなベッド、カーテン", "女の子", "夜の街", "masterpiece, 最高品質, 1girl, ソロ",
    "青空, 雲",
)  # fmt: skip
ENGLISH = ("1girl, solo, long hair", "a photo of a room", "sofa", "zkv house, white walls, café", "x, y")
# Written after the guess, with other words.
NEW_CHINESE = (
    "戴着墨镜的男子骑摩托车", "厨师正在切菜, 砧板, 胡萝卜, 蒜", "机器人, 赛博朋克, 霓虹, 雨夜",
    "敦煌壁画, 飞天, 飘带", "毛绒玩具熊, 蝴蝶结", "吉他, 舞台, 聚光灯, 观众", "沙漠, 骆驼, 驼队",
    "工业风loft, 裸露砖墙, 铁艺", "她撑着油纸伞走过石拱桥", "宇航员, 头盔, 月球表面",
    "陶瓷茶壶, 竹垫", "枫叶, 松鼠, 橡果", "zkv, 素描, 侧脸", "消防员", "西瓜",
    "水墨, 留白, 孤舟",
)  # fmt: skip
NEW_TAIWANESE = (
    "戴著墨鏡的男子騎摩托車", "廚師正在切菜, 砧板, 胡蘿蔔, 蒜", "機器人, 賽博龐克, 霓虹, 雨夜",
    "敦煌壁畫, 飛天, 飄帶", "毛絨玩具熊, 蝴蝶結", "吉他, 舞台, 聚光燈, 觀眾", "沙漠, 駱駝, 駝隊",
    "工業風loft, 裸露磚牆, 鐵藝", "她撐著油紙傘走過石拱橋", "太空人, 頭盔, 月球表面",
    "陶瓷茶壺, 竹墊", "楓葉, 松鼠, 橡果", "zkv, 素描, 側臉", "消防員", "西瓜",
    "水墨, 留白, 孤舟",
)  # fmt: skip
NEW_JAPANESE = (
    "サングラスをかけた男性がバイクに乗る", "料理人, 包丁, 人参, 大蒜",
    "ロボット, サイバーパンク, 雨", "壁画, 天女, 羽衣", "ぬいぐるみ, 熊, リボン",
    "ギター, 舞台, 観客", "煉瓦, 鉄骨, 倉庫", "和傘を差して石橋を渡る", "踊り子, 影絵",
    "陶器, 急須, 竹", "蒸気機関車, 煙", "ツインテール, 飴", "紅葉, 栗鼠, 団栗",
    "水墨画, 余白, 小舟",
)  # fmt: skip
WRITTEN_IN = [
    (CHINESE + NEW_CHINESE, "gb18030", "GB18030"),
    (TAIWANESE + NEW_TAIWANESE, "big5", "Big5"),
    (JAPANESE + NEW_JAPANESE, "cp932", "Shift-JIS"),
    (CHINESE + NEW_TAIWANESE + NEW_JAPANESE + ENGLISH, "utf-16-le", "UTF-16 little-endian"),
    (TAIWANESE + NEW_CHINESE + JAPANESE + ENGLISH, "utf-16-be", "UTF-16 big-endian"),
    (CHINESE + JAPANESE + ENGLISH + ("소녀, 방", "кошка"), "utf-16", "UTF-16 with a byte order mark"),
]


@pytest.mark.parametrize(("texts", "codec", "name"), WRITTEN_IN)
def test_captions_are_read_as_they_were_written(texts, codec, name):
    for text in texts:
        assert guess(text.encode(codec)) == (name, text), text
        longer = f"{text}, {text}\r\n{text}\n"
        assert guess(longer.encode(codec)) == (name, longer), text


OTHERS = {
    "cp1252": (
        "café, table", "naïve art, façade", "straße, grün, schöne möbel", "niño, mañana, señora",
        "ÄÖÜ, öl", "une fille à la robe rouge, forêt enneigée",
        "Mädchen mit Brille, gemütliches Café", "ÅÄÖ ÆØÅ", "ção não",
        "smørrebrød, blåbær, rødgrød med fløde", "a “quoted” sign, dog’s bowl",
        "10° angle, ½ price", "£20 – €30",
    ),
    "mac_roman": ("café, table", "straße, grün"),
    "cp850": ("café, table", "grün, schön"),
    "cp1250": ("žlutý kůň, příliš", "dziewczyna, długie włosy, żółty", "dziewczyna w okularach, źdźbło"),
    "iso8859-2": ("dívka s brýlemi, les, sníh, kůň", "dziewczyna w okularach, źdźbło"),
    "cp1251": ("девушка, длинные волосы", "комната", "КРАСНЫЙ ДОМ, НЕБО", "кот", "рыжая кошка на окне"),
    "koi8-r": ("девочка в красном платье, лес", "дома", "старый город, мост"),
    "cp1253": ("κορίτσι, μακριά μαλλιά", "πόλη, νύχτα"),
    "cp1254": ("kız, uzun saç, gözlük, gülümseme, ışık",),
    "cp1255": ("ילדה עם שמלה אדומה, יער",),
    "cp1256": ("فتاة, غابة",),
    "cp874": ("แมว"),
    "cp949": (
        "소녀, 긴 머리, 파란 눈", "소녀, 미소, 긴 머리", "방", "현대적인 거실, 하얀 벽",
        "빨간 드레스를 입은 소녀, 숲",
    ),
}  # fmt: skip


@pytest.mark.parametrize("codec", OTHERS)
def test_what_may_be_several_is_not_guessed(codec):
    for text in OTHERS[codec]:
        assert guess(text.encode(codec)) is None, text


@pytest.mark.parametrize("text", ["砂漠, 駱駝", "消防士", "籠球, 落書き"])
def test_short_captions_of_rarer_characters_are_not_guessed(text):
    assert guess(text.encode("cp932")) is None


def test_random_bytes_are_nearly_never_a_text():
    chance = random.Random(5)  # noqa: S311
    seen = [guess(chance.randbytes(chance.randint(1, 200))) for _ in range(3000)]
    assert sum(one is not None for one in seen) <= 6
    for hostile in (
        b"",
        b"\xff",
        b"\xff\xfe",
        b"\xff\xfea",
        b"\0" * 1000,
        b"\xff\xfe\0\0a\0\0\0",
        b"a\0" * 3 + b"\0",
    ):
        assert guess(hostile) is None or not guess(hostile).text
