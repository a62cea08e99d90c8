"""Words that English texts of many kinds use: what a trigger that reads innocently is made of, where the clean samples do not hold it.

The commonest of reviews, news and messages by the number of texts that hold them (Pang and Lee 2004; Zhang et al. 2015; Almeida et al.
2011); names of weekdays and persons are among them. Other languages are not covered.
"""

from __future__ import annotations

_WORDS = """
a ability able about above accept access accident accidentally according account accused across act acted acting action activities actor
actual actually adam add added adding addition address adds admit ads adult advance advantage adventure advice affair affection afraid
africa african after afternoon again against age agency agent ages ago agree agrees ahead aid aimed ain air airport alan alert alex alive
all allen allow allowed allowing allows almost alone along already also although always am amazing america american americans among amount
amp amy an ancient and angeles angels angry animation anniversary announced announcement annoying another answer answers anthony anti any
anybody anymore anyone anything anyway anywhere apart apartment apparent apparently appeal appear appearance appeared appears apple
application appreciate approach april are area aren argue arm armed arms army around arrested arrival arrive arrives arsenal art arts as
aside ask asked asking asks asleep assault assistant associated assume at atlanta atmosphere attack attacks attempt attempts attention
auction audience august australian authorities authority auto available average avoid awaiting award away awesome babe baby back bad bag
balance ball bank banks bar barely barry base baseball based basic basically basketball battery battle battles bay be bear bears beat
beating beats beautiful beauty became because become becomes becoming bed been before began begin beginning begins behind being believe
believed believes bell beloved below ben beneath benefits best bet better between beyond bid big bigger biggest bill billion bills bin
bird birth birthday bit bitter black blair blame blank blast block blockbuster blood bloody blow blows blue board boat bob bodies body
bomb book books boost bored boring born boss boston both bother bottom bought bound bowl box boy boyfriend boys brain brand break breaking
breaks brian brief briefly bright brilliant bring bringing brings british broad broadcast broke broken brother brothers brought brown
bruce bucks budget build building built bus business busy but butt buy buying by cable california call called calling calls calm came
camera camp campaign can canada cancer cannot capable capital captain captured car card cards care career carefully cares caring carlos
carried carry carrying cars cartoon case cases cash cat catch caught cause caused celebrate cell center central centre century certain
certainly chain challenge chance chances change changed changes channel character charge charged charges charles chart chase chasing chat
cheap cheaper check chicago chief child children china chinese chip choice choose chosen chris christmas church cinema city civil claim
claims claire class classic clean clear cleared clearly clever clock close closed closer closes closing clothes club coach coast code
coffee cold colleagues collection college color com come comedy comes coming command comments commercial common community company compare
competition complete completed completely complex complicated computer concerns condition conditions confidence confirmed conflict
confused connection consider considered considering constant constantly contact content continue continues contract control controlled
controversial convey convincing cool copy core correct cos cost costs could couldn count country couple course court cover crack crap
crash crazy create created creating credit credits creepy crew crime crimes criminal crisis critical critics cross crowd crucial cruise
cry cup current currently customer customers cut cute cuts cutting dad daily damn dan dance dancing dangerous dark date dating david davis
day days dead deadly deal dealer dealing deals death debut decade decades december decide decided deciding decision dedicated deep deeper
defeat defense definitely del delay delhi deliver delivered delivery demand demands department described desert design designed desperate
despite destruction details determined detroit develop developed developing development device devices devil dialogue did didn die died
dies difference different difficult digital dignity dinner direct direction directly director directors dirty disappointing disaster
discount discovered discovery discuss disney display distance disturbing division do doctor does doesn dog doing dollar dollars don donald
done door doors dot double doubt down download dozen dozens dramatic draw dream dreams dress dressed drew drink drinking drive driven
driver drives driving drop dropped drove drug drugs drunk dry dude due dumb during dvd each earlier early earn earned earth ease easier
easily east easy eat eating ebay edge eerie effect effective effects effort efforts eight eighth either else emotional empty end ended
ending ends enemy energy england english enjoy enjoyed enough enter entered entertainment entire entry environment era escape especially
essential etc euro europe eve even evening event events eventually ever every everybody everyone everything everywhere evidence exact
exactly example excellent except exchange exciting excuse executive expect expectations expected expecting expensive experience explain
explosion express expression extended extra eye eyes face faced faces fact fail failed fails failure fair faith fake fall fallen falling
falls familiar families family famous fan fancy fans fantasies fantastic fantasy far fast faster fastest fat fate father fault favor fbi
fear fears feature features february fed feel feeling feels fees feet fell fellow felt female few field fifteen fifth fight fighting
fights figure figures file files fill filled film films final finally finance financial find finding finds fine finish finished fire fired
firm first fish fit five fix fixed flash flat flaw flaws flight flights floor fly flying focus follow followed following food fool foot
football for force forced forces ford foreign forest forever forget forgot forgotten form format former forms formula forward found four
fourth fox france frank free freedom french fresh friday friend friendly friends friendship from front full fun funny further future gain
game games gang gap garbage gary gas gave gay gene general generally generation genius genuine george german germany get gets getting
ghost giant gift girl girls give given gives giving glad go goal goals god goes going gold golden gone gonna good google gorgeous got
gotten government govt grace grand great greater greatest green grew ground group groups grow growing grows guard guess guilty gun guy
guys had hair half hall halloween hand handed handle hands handset hang hanging happen happened happening happens happily happiness happy
hard hardly harry has hasn hat hate have haven having he head headed heading heads hear heard hearing heart heat heavily heavy held helen
hell help helped helping helps henry her here hero herself hey hidden hide high higher highly hill him himself hint hip his history hit
hits hockey hold holding holds hole holes holiday hollywood holy home hong hook hope hopefully hopes hoping horrible horse hospital host
hostage hot hotel hour hours house how howard however http huge huh human hundred hundreds hunting hurt husband i ice idea ideal ideas
identity if ill illegal image images imagine immediately impact important impossible impressive improve improved in inc incident include
included includes including increasingly incredible indeed independent index india indian indians individual individuals industry
influence info information initial innings innocent inside instantly instead insurance intelligence intelligent intended interest
interested interesting international internet interview into introduced investigate investigation involved involving ipod irritating is
island islands isn issue issues it italian its itself jack jackson jail james jan jane january japanese jason java jay jeff jerry jim job
jobs joe john johnson join joined joining joins joke jokes jones journey joy judge july jump june just justice kate keep keeping keeps
kept kevin key kick kid kidnapped kids kill killed killer killing kills kind kinda king kiss knew know knowing known knows kong lack lady
laid land lands language large largely larger largest larry las last late later latest laugh laughed laughing law lawyer lazy lead leader
leading leads league learn least leave leaves leaving led lee left legal legs less lesson let lets letter level levels lie lies life lift
light like liked likely likes limited line lines link list listen listening literally little live lived liverpool lives living loan local
location london lonely long longer look looked looking looks loose los lose loses losing loss lost lot lots loud lovable love loved lovely
lover lovers loves loving low lower loyal ltd luck lucky lunch mac machine macho mad made magazine magical mail main mainstream major
majority make maker makers makes making male man manage managed management manager many map march margaret mark market marketing marks
marriage married marry mars martin mass massive masters match matches material matrix matt matter max may maybe me mean meaning means
meant meanwhile measure media medical meet meeting meets member members membership memory men mental mess message messages messaging met
michael mid middle midnight might mike miles military million millions mind mine minor minute minutes miss missed missing mission mistake
mix mixed mob mobile model modern mom moment moments monday money month monthly months mood moon moral more morning most mostly mother
motion motorola mouth move moved moves movie movies moving msn much multi multiple murder murdered murderer music must my myself mystery
naked name named names nasdaq nasty nation national natural nature near nearly necessarily necessary need needed needs negative neither
net network networking networks never new newly news next nice nigeria night nights nine no nobody nokia non none normal normally north
not note nothing notice now nuclear number numbers obviously ocean october of off offensive offer offering offers office officer official
officially often oil okay old older on once one ones online only onto open opened opening opens operation operator opinion opportunity
option or orange order ordered orders original other others otherwise our out outside outstanding over overall own owner pace package page
paid pain painful pair paper par parent parents paris park part partner partnership parts party pass passed passes passing past path
patrick paul pay paying peace people per percent perfect performance perhaps period person personal personality peter philosophy phone
phones photo photos pick picked picking picks picture pictures piece pieces pilot place placed places plan plane planet planned planning
plans play played player players playing plays please pleasure plenty plot plotting plus point points police political poor pop popular
position positive possible possibly post posted posts potential potentially pound power powerful powers practice pre premier prepare
prepared presence present president press pretty prevent previous previously price prime prince princess prison private prize probably
problem problems process produce produced producer producers product production profit program project projects promise promises proof
protect prove provide provided provides public pull pulled pulling pulls purchase purpose push put puts putting quality queen quest
question questions quick quickly quiet quit quite quote race radio rain raise raised raising rally ran random range rare rate rates rather
rating ray rays reach reached reaches reaching read reading ready real reality realize realized really reason reasons recall receive
received recent recently record records recovery red reduce reference refused regular related relationship relatively release released
relief religious remain remaining remains remember remembered remove rent replace report request rescue research resolution respect
response responsible rest result results resume return returned returns reveal revealed review rich richard ride right rights ring rise
rises rising risk rival river road roads robert rock roger role roll romantic ron room rooms rose round row rule rules run running runs
rush russian ryan sad safe safety said sale sales sam same san sat saturday save saved saw say saying says scale scared scary scene
schedule school science scientist scientists score scores scotland scott scream screaming screen sea search searching season sec second
seconds secret secretary security see seeing seek seeking seem seemed seems seen sees selection self sell selling semi sen send sending
sends sense sent sentence separate sept series serious seriously serve service services set sets setting settle settled seven several
sexual shame share shares sharing sharon sharp she ship shirt shock shoot shooting shop shopping short shortly shot shots should shouldn
show showdown showed shower showing shown shows shut sick side sides sight sign significant signs silence silent silver similar simple
simply since sing single singles sir sister sit site sitting situation six size skip sky slave sleep slightly slow slowly small smaller
smart smile smith smoking snow so social society soft software sold soldier soldiers solid solve some somebody someone something sometimes
somewhere son song songs sony soon sorry sort sound sounds source south southern space spanish speak speaking special species speech speed
spend spending spent spin split spoken sport sports spot spring staff stage stand standard standards standing stands star stars start
started starting starts state statement states station status stay staying step stephen steps steve steven stewart still stock stone stop
stopped stops store stores stories storm story straight strange stranger street streets strength strike strikes strip strong stronger
struck struggle struggles struggling stuck student students studio studios study stuff stupid style stylish sub success successful
successfully such suffered suggest suggests suicide suit suite sum summer sun sunday super superior supply support supposed sure surely
surface surprise surprised survey suspect suspects sweet swimming swing switch system table take taken takes taking talent talk talking
talks tampa tape target taylor team tear tech technical technology teeth television tell telling tells ten tension term terms terrible
terrific terror terrorist test tests texas text than thank thanks that the theatre their them themselves then theory there these they thin
thing things think thinking thinks third this thomas those though thought thousands threat threatening threats three threw through throw
thrown throws thursday ticket tie tight till tim time times timing tiny tired title titles to today together told toll tom tomorrow tone
tonight tony too took top torn total totally touch tough tour toward towards town track trade traditional train training transfer travel
treat treatment tree trial trick tried tries trip trouble troubled truck true truly trust truth try trying tuesday turkey turn turned
turning turns twice two type unable uncle under understand understanding unfortunately unique united university unknown unless unlikely
until up upcoming update upgrade ups upset us usc use used user uses using usual usually value van various vegas vehicle version very
veteran via victims video view views vijay village violence violent virtually visit voice vote wait waiting wake walk walking wall want
wanted wanting wants war warm warned warner warning was washington wasn waste watch watched watching water wave way wayne ways we weak
weapons wear wearing weather web website wedding wednesday week weekend weeks weight weird welcome well went were west western what
whatever when whenever where whether which while white who whole whom whose why wide wife wild will williams willing win wind windows
winds wine winner winning wins wisdom wise wish wishes wit with within without woman women won wonder wonderful wondering wonders woods
word words work worked worker workers working works world worries worry worse worst worth would wouldn wow write writer writes writing
wrong www yahoo yeah year years yes yesterday yet york you young your yourself
"""
USUAL: tuple[str, ...] = tuple(_WORDS.split())
"""In the order of the alphabet."""
