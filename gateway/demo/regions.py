"""The provinces of the demo world: codes, names, a few prefectures each, counties that issue identity numbers, member
ids.

Owns: a small table after GB/T 2260 and the unified social credit codes (GB 32100) of the imaginary agencies. The
codes of regions are real, the agencies and their codes are not: every organisation number is worked out from the
region's code. Refuses: being a gazetteer. Two or three prefectures a province are enough for people to move between.
"""

from __future__ import annotations

from dataclasses import dataclass

_ORGANISATION = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CREDIT = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""GB 32100-2015, 4.1: no I, O, S, V, Z."""

_TABLE = """
330000 浙江省 Zhejiang 330100:杭州市:Hangzhou,330700:金华市:Jinhua,330600:绍兴市:Shaoxing 330122,330127
110000 北京市 Beijing 110100:北京市市辖区:Beijing 110101,110102,110105,110106
420000 湖北省 Hubei 420100:武汉市:Wuhan,420500:宜昌市:Yichang,420600:襄阳市:Xiangyang 422822,422823,422825,422826
120000 天津市 Tianjin 120100:天津市市辖区:Tianjin 120102,120103,120104,120105
130000 河北省 Hebei 130100:石家庄市:Shijiazhuang,130200:唐山市:Tangshan -
140000 山西省 Shanxi 140100:太原市:Taiyuan,140200:大同市:Datong 140121,140122,140123
150000 内蒙古自治区 Inner-Mongolia 150100:呼和浩特市:Hohhot,150200:包头市:Baotou 150121,150122,150221,150222
210000 辽宁省 Liaoning 210100:沈阳市:Shenyang,210300:鞍山市:Anshan 210224,210321,210421,210422
220000 吉林省 Jilin 220100:长春市:Changchun,220200:吉林市:Jilin 222402,222424,222426
230000 黑龙江省 Heilongjiang 230100:哈尔滨市:Harbin,230200:齐齐哈尔市:Qiqihar 230722,232721
310000 上海市 Shanghai 310100:上海市市辖区:Shanghai 310104,310105,310106,310107
320000 江苏省 Jiangsu 320100:南京市:Nanjing,320500:苏州市:Suzhou,320300:徐州市:Xuzhou -
340000 安徽省 Anhui 340100:合肥市:Hefei,340200:芜湖市:Wuhu,341200:阜阳市:Fuyang 340121,340421,340621
350000 福建省 Fujian 350100:福州市:Fuzhou,350200:厦门市:Xiamen 350121
360000 江西省 Jiangxi 360100:南昌市:Nanchang,360400:九江市:Jiujiang 360121
370000 山东省 Shandong 370100:济南市:Jinan,370200:青岛市:Qingdao -
410000 河南省 Henan 410100:郑州市:Zhengzhou,410300:洛阳市:Luoyang,411300:南阳市:Nanyang -
430000 湖南省 Hunan 430100:长沙市:Changsha,430200:株洲市:Zhuzhou 430121,430321,433122,433123
440000 广东省 Guangdong 440100:广州市:Guangzhou,440300:深圳市:Shenzhen,441900:东莞市:Dongguan -
450000 广西壮族自治区 Guangxi 450100:南宁市:Nanning,450300:桂林市:Guilin -
460000 海南省 Hainan 460100:海口市:Haikou,460200:三亚市:Sanya -
500000 重庆市 Chongqing 500100:重庆市市辖区:Chongqing -
510000 四川省 Sichuan 510100:成都市:Chengdu,510300:自贡市:Zigong,513400:凉山彝族自治州:Liangshan 510121,510321,510421
520000 贵州省 Guizhou 520100:贵阳市:Guiyang,522600:黔东南苗族侗族自治州:Qiandongnan 520203,522323,522324,522325
530000 云南省 Yunnan 530100:昆明市:Kunming,532900:大理白族自治州:Dali 530124,532322,532323,532324
540000 西藏自治区 Tibet 540100:拉萨市:Lhasa,540200:日喀则市:Shigatse 540121,540122,540123,540124
610000 陕西省 Shaanxi 610100:西安市:Xian,610300:宝鸡市:Baoji 610323,610326,610327,610328
620000 甘肃省 Gansu 620100:兰州市:Lanzhou,622900:临夏回族自治州:Linxia 620121,620122,620123,622921
630000 青海省 Qinghai 630100:西宁市:Xining,632500:海南藏族自治州:Hainan 632221,632222,632223,632224
640000 宁夏回族自治区 Ningxia 640100:银川市:Yinchuan,640200:石嘴山市:Shizuishan 640121,640122,640221
650000 新疆维吾尔自治区 Xinjiang 650100:乌鲁木齐市:Urumqi,652300:昌吉回族自治州:Changji 650121,652323,652324,652325
"""
"""Code, name, English name, prefectures, counties. The counties are such as have had their code since codes were given
out, so that a number issued there is plausible for any year of birth."""


@dataclass(frozen=True, slots=True)
class Agency:
    """A unit (经办机构) of a member: the provincial centre or a prefecture's.

    Args:
        unit: its id within the member, e.g. "330700".
        region: GB/T 2260 code it pays for.
        zh: name in Chinese.
        en: name in English.
    """

    unit: str
    region: int
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Province:
    """A province of the federation.

    Args:
        code: GB/T 2260, e.g. 330000.
        slug: its name for files and hosts, e.g. "zhejiang".
        zh: name in Chinese.
        en: name in English.
        member_id: unified social credit code of its (imaginary) gateway operator.
        prefectures: GB/T 2260 codes of the prefectures in which people live here.
        prefecture_names: their names in Chinese.
        counties: six-digit codes that numbers issued here begin with; may be empty.
        agencies: its paying agencies, the provincial centre first.
    """

    code: int
    slug: str
    zh: str
    en: str
    member_id: str
    prefectures: tuple[int, ...]
    prefecture_names: tuple[str, ...]
    counties: tuple[int, ...]
    agencies: tuple[Agency, ...]


def organisation_code(body: str) -> str:
    """Eight characters with the check character of GB 11714-1997 behind them."""
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(_ORGANISATION.index(c) * w for c, w in zip(body, weights, strict=True))
    return body + "0123456789X0"[11 - total % 11]


def credit_code(region: int, body: str) -> str:
    """The unified social credit code of an institution: registered by the staffing office (1), a state organ (1)."""
    code = f"11{region:06d}{organisation_code(body)}"
    total = sum(_CREDIT.index(c) * pow(3, i, 31) for i, c in enumerate(code))
    return code + _CREDIT[-total % 31]


def _province(line: str) -> Province:
    code_text, zh, en, prefectures_text, counties = line.split()
    code = int(code_text)
    prefectures = [part.split(":") for part in prefectures_text.split(",")]
    english = en.replace("-", " ")
    agencies = [Agency(f"{code}", code, f"{zh}社会保险事业管理中心", f"{english} Provincial Social Insurance Centre")]
    agencies += [
        Agency(number, int(number), f"{name}社会保险经办机构", f"{name_en} Social Insurance Agency")
        for number, name, name_en in prefectures
    ]
    return Province(
        code=code,
        slug=en.lower(),
        zh=zh,
        en=english,
        member_id=credit_code(code, f"00{code}"),
        prefectures=tuple(int(number) for number, _, _ in prefectures),
        prefecture_names=tuple(name for _, name, _ in prefectures),
        counties=() if counties == "-" else tuple(int(county) for county in counties.split(",")),
        agencies=tuple(agencies),
    )


PROVINCES: tuple[Province, ...] = tuple(_province(line) for line in _TABLE.strip().splitlines())
"""All thirty-one, in the order in which a world of N provinces takes them."""

ISSUING_COUNTIES: tuple[int, ...] = tuple(county for province in PROVINCES for county in province.counties)
"""Every county of the table."""
